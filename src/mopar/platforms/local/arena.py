"""The shared memory of one request in flight: tensors are placed one after another, and freed together."""

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from mopar.platforms.base import Budget, Unbounded
from mopar.platforms.local.segments import Segment, page_aligned
from mopar.runtime.frames import TensorRef
from mopar.segments import Place, SharedSegment

_T = TypeVar("_T")
_ALIGNMENT = 64
_SMALLEST_BYTES = 1 << 16
_MOST_REMEMBERED = 1024
"""About 0.5 KB each; the bound matters where requests have many different shapes."""
_SHRINK_FACTOR, _SHRINK_AFTER = 4, 32
"""An arena shrinks after ``_SHRINK_AFTER`` requests in a row that used less than 1/``_SHRINK_FACTOR`` of it."""


class Arena:
    """Places for tensors, in as few segments as possible.

    A request that needs more than the arena has adds a segment; after the next reset one segment of the total size
    replaces them all, so that an arena for requests of one size soon has one. From then on the same sequence of tensors
    gets the same places, and the same objects for them. After a large request and many small ones it shrinks again.

    Args:
        budget: bounds what it takes; by default nothing does.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.segments: list[Segment] = []
        self._lent: list[SharedSegment] = []
        self._budget: Budget = Unbounded() if budget is None else budget
        self._most_used, self._spare = 0, 0
        self._used = 0
        self._first_bytes = _SMALLEST_BYTES
        self._remembered: dict[tuple[int, Hashable], tuple[object, int]] = {}

    def reserve(self, nbytes: int) -> None:
        """Make room for all that a request is known to need, in one segment. Raises as ``place`` does."""
        self._budget.check(nbytes)
        if nbytes > self._total():
            self.close()
            self._add(max(nbytes, self._first_bytes))

    def place(self, code: int, shape: tuple[int, ...], nbytes: int) -> TensorRef:
        """A place for a tensor. Raises what the budget raises, and DeploymentError where the machine has no memory."""
        return self.remember((code, shape, nbytes), lambda: self._placed(code, shape, nbytes))

    def remember(self, what: Hashable, make: Callable[[], _T]) -> _T:
        """The result of ``make``, or that of an earlier request with the same ``what`` at the same fill level.

        An earlier result's places are used again.
        """
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

    def borrow(self, place: Place) -> None:
        """Let the request's tensors be in a segment of somebody else's, until the next reset."""
        if place.segment not in self._lent:
            self._lent.append(place.segment)

    def lent(self, place: Place, code: int, shape: tuple[int, ...], nbytes: int) -> TensorRef:
        """A tensor in a segment that was borrowed."""
        number, offset = place.segment.number, place.offset
        return self.remember(
            ("lent", number, offset, code, shape, nbytes), lambda: TensorRef(code, shape, number, offset, nbytes)
        )

    def borrowed(self, ref: TensorRef) -> Place | None:
        """The place of a tensor in a segment that was borrowed; None where it is in the arena's own."""
        owner = next((segment for segment in self._lent if segment.number == ref.segment), None)
        return Place(owner, ref.offset, ref.nbytes) if owner is not None else None

    def shared(self) -> list[SharedSegment]:
        """All segments that the request's tensors are in."""
        return [*self.segments, *self._lent]

    def view(self, ref: TensorRef) -> memoryview:
        """The bytes of a tensor."""
        segment = next(segment for segment in self.segments if segment.number == ref.segment)
        return segment.view[ref.offset : ref.offset + ref.nbytes]

    def reset(self) -> None:
        """Free all tensors. Several segments are released; one of their total size is allocated when it is needed."""
        used, self._used = self._used, 0
        self._lent.clear()
        if len(self.segments) > 1:
            self._first_bytes = self._total()
            self.close()
            return
        self._most_used = max(self._most_used, used)
        self._spare = self._spare + 1 if used * _SHRINK_FACTOR < self._total() > _SMALLEST_BYTES else 0
        if self._spare >= _SHRINK_AFTER:
            self._first_bytes = max(self._most_used, _SMALLEST_BYTES)
            self.close()
        if self._spare == 0:
            self._most_used = 0

    def close(self) -> None:
        """Release the memory."""
        for segment in self.segments:
            segment.close()
            self._budget.give(segment.size)
        self._most_used, self._spare = 0, 0
        self.segments = []
        self._used = 0
        self._remembered.clear()

    def _placed(self, code: int, shape: tuple[int, ...], nbytes: int) -> TensorRef:
        offset = -(-self._used // _ALIGNMENT) * _ALIGNMENT
        if not self.segments or offset + nbytes > self.segments[-1].size:
            self._budget.check(self._total() + nbytes)
            self._add(max(nbytes, self._first_bytes, self._total()))
            offset = 0
        self._used = offset + nbytes
        return TensorRef(code, shape, self.segments[-1].number, offset, nbytes)

    def _add(self, nbytes: int) -> None:
        self._budget.take(page_aligned(nbytes))
        try:
            segment = Segment(nbytes)
        except BaseException:  # an interrupt too, or the budget would count a segment that does not exist
            self._budget.give(page_aligned(nbytes))
            raise
        self.segments.append(segment)
        self._remembered.clear()

    def _total(self) -> int:
        return sum(segment.size for segment in self.segments)
