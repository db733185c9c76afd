"""The shared memory of one request in flight: tensors are placed one after another, and go together."""

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from mopar.platforms.local.segments import Segment
from mopar.runtime.frames import TensorRef

_T = TypeVar("_T")
_ALIGNMENT = 64
_SMALLEST_BYTES = 1 << 16
_MOST_REMEMBERED = 1024
"""Some 0.5 KB each, where requests come in many shapes."""


class Arena:
    """Places for tensors, in as few segments as possible.

    A request that needs more than the arena has adds a segment; after the next reset one segment of the
    whole size replaces them all, so that an arena used for requests of one size settles at one. From then on the same
    sequence of tensors gets the same places, which are remembered: the same objects.
    """

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._used = 0
        self._first_bytes = _SMALLEST_BYTES
        self._remembered: dict[tuple[int, Hashable], tuple[object, int]] = {}

    def place(self, code: int, shape: tuple[int, ...], nbytes: int) -> TensorRef:
        """Room for a tensor. Raises DeploymentError where the machine has no memory left."""
        return self.remember((code, shape, nbytes), lambda: self._placed(code, shape, nbytes))

    def remember(self, what: Hashable, make: Callable[[], _T]) -> _T:
        """What ``make`` gave at this point of an earlier request, if it was the same; its places are taken again."""
        key = self._used, what
        found = self._remembered.get(key)
        if found is not None:
            self._used = found[1]
            return cast("_T", found[0])
        made = make()
        if len(self.segments) == 1:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = made, self._used
        return made

    def view(self, ref: TensorRef) -> memoryview:
        """The bytes of a tensor."""
        segment = next(segment for segment in self.segments if segment.number == ref.segment)
        return segment.view[ref.offset : ref.offset + ref.nbytes]

    def reset(self) -> None:
        """Forget all tensors. Several segments are given back; one for all is made when it is needed."""
        self._used = 0
        if len(self.segments) > 1:
            self._first_bytes = self._total()
            self.close()

    def close(self) -> None:
        """Give the memory back."""
        for segment in self.segments:
            segment.close()
        self.segments = []
        self._used = 0
        self._remembered.clear()

    def _placed(self, code: int, shape: tuple[int, ...], nbytes: int) -> TensorRef:
        offset = -(-self._used // _ALIGNMENT) * _ALIGNMENT
        if not self.segments or offset + nbytes > self.segments[-1].size:
            self.segments.append(Segment(max(nbytes, self._first_bytes, self._total())))
            self._remembered.clear()
            offset = 0
        self._used = offset + nbytes
        return TensorRef(code, shape, self.segments[-1].number, offset, nbytes)

    def _total(self) -> int:
        return sum(segment.size for segment in self.segments)
