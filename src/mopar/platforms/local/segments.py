"""Shared memory without names, which no dying process can leak.

A segment is a ``memfd``: private to the processes that have its descriptor, and freed by the kernel with the last of
them. The gateway allocates its pages at once, so that they are not charged to the limits of workers; required memory
counts them (docs/measuring.md).
"""

import contextlib
import errno
import itertools
import mmap
import os

from mopar.types import DeploymentError

_numbers = itertools.count(1)
_live: set[int] = set()


def live_segments() -> set[int]:
    """Numbers of the segments that are not closed; a worker may forget all others."""
    return _live


def page_aligned(size: int) -> int:
    """Bytes up to a whole page: what a segment of that size takes."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


class Segment:
    """``size`` bytes that workers can map. ``view`` is the gateway's own mapping.

    Raises:
        DeploymentError: the machine has no memory left for it.
    """

    def __init__(self, size: int) -> None:
        self.number = next(_numbers)
        self.size = page_aligned(size)
        self.descriptor = os.memfd_create("mopar", os.MFD_CLOEXEC)
        try:
            os.posix_fallocate(self.descriptor, 0, self.size)
            self._memory = mmap.mmap(self.descriptor, self.size)
        except OSError as cause:
            os.close(self.descriptor)
            if cause.errno in {errno.ENOMEM, errno.ENOSPC}:
                raise DeploymentError(f"no memory left for a segment of {self.size} bytes") from cause
            raise
        self.view = memoryview(self._memory)
        _live.add(self.number)

    def close(self) -> None:
        """Release it; the memory is freed once no worker and no view uses it."""
        _live.discard(self.number)
        os.close(self.descriptor)
        with contextlib.suppress(BufferError):  # a reply still reads from it: the mapping goes with its last view
            self.view.release()
            self._memory.close()
