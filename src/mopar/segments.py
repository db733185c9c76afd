"""Memory that processes of this machine share: what has a number by which workers know it."""

import itertools
import os
from dataclasses import dataclass

_numbers = itertools.count(1)
_live: set[int] = set()


def live_segments() -> set[int]:
    """Numbers of the segments that are not closed; a worker may forget all others."""
    return _live


class SharedSegment:
    """A file in memory that workers can map.

    Args:
        descriptor: of the file; it is closed with the segment.
        size: bytes from the file's beginning that may be mapped.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self.number = next(_numbers)
        self.descriptor, self.size = descriptor, size
        _live.add(self.number)

    def close(self) -> None:
        """Release it; the memory is freed once nobody maps it or has it open."""
        _live.discard(self.number)
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Place:
    """``nbytes`` at ``offset`` of a segment, where a tensor is or is to be put."""

    segment: SharedSegment
    offset: int
    nbytes: int
