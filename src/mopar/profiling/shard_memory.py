"""The most that a part's tensors take at once, for every start of a step: kept up to date in one backward pass.

What ``liveness.live_bytes`` says of a run of layers whose inputs and outputs take nothing, told of one more layer at a
time: going over a layer again for every start would take time quadratic in layers.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mopar.profiling.liveness import Operation, buffers_of, reachable_in_place

_NOTHING = -1


class Lifetimes:
    """Which tensors share a buffer, where buffers are read, and which nodes may write over one: of a whole model.

    Attributes:
        operations: of each layer, its nodes.
    """

    def __init__(self, operations: Sequence[Sequence[Operation]]) -> None:
        self.operations = operations
        every = [operation for layer in operations for operation in layer]
        owners = buffers_of(every)
        self._views = owners.keys()
        self._made = {name: operation.layer for operation in every for name in operation.makes}
        self._read: dict[str, list[int]] = {}
        for operation in every:
            for name in dict.fromkeys((*operation.reads, *(owners.get(read, read) for read in operation.reads))):
                self._read.setdefault(name, []).append(operation.layer)
        producer = {name: operation for operation in every for name in operation.makes}
        self._takers: dict[int, list[tuple[str, tuple[str, ...]]]] = {}
        for operation in every:
            for name in operation.makes:
                if operation.in_place and name not in owners:
                    reads = tuple(owners.get(read, read) for read in reachable_in_place(operation, producer))
                    earlier = tuple(root for root in reads if self._made.get(root, operation.layer) != operation.layer)
                    if earlier:
                        self._takers.setdefault(operation.layer, []).append((name, earlier))

    def is_view(self, name: str) -> bool:
        """Whether a tensor stands in another one's buffer."""
        return name in self._views

    def last_read(self, name: str, stop: int) -> int:
        """The last layer before ``stop`` that reads a tensor or a view of it; -1 where none does."""
        read = self._read.get(name, ())
        at = bisect_left(read, stop)
        return read[at - 1] if at else _NOTHING

    def takers(self, layer: int) -> Sequence[tuple[str, tuple[str, ...]]]:
        """What a layer makes that may be written over something from before it, and over what."""
        return self._takers.get(layer, ())


class PartMemory:
    """One part's backward pass from ``stop``."""

    def __init__(self, lifetimes: Lifetimes, sizes: Mapping[str, int], stop: int, outside: Iterable[str]) -> None:
        """``outside`` are what the part gives, which take nothing here; ``sizes`` are of whole tensors, in bytes."""
        self._lifetimes, self._sizes, self._stop, self._outside = lifetimes, sizes, stop, frozenset(outside)
        self._totals: npt.NDArray[np.int64] = np.zeros(stop, dtype=np.int64)
        self._held: dict[str, int] = {}
        self._saved: dict[int, int] = {}

    def add(self, layer: int, made: Iterable[tuple[str, float]]) -> None:
        """One more layer: what the part makes there, and the share of each tensor's elements."""
        died: dict[int, None] = {}
        for name, share in made:
            size = round(self._sizes.get(name, 0) * share)
            if not size or name in self._outside or self._lifetimes.is_view(name):
                continue
            self._held[name] = size
            last = self._lifetimes.last_read(name, self._stop)
            if last > layer:
                self._totals[layer : last + 1] += size
                died[last] = None
        for one in died:
            self._take_over(one)

    def most_bytes(self, start: int) -> int:
        """The most at once while layers from ``start`` on run."""
        return int(self._totals[start:].max(initial=0))

    def _take_over(self, layer: int) -> None:
        """Outputs that are written into an input that dies in their layer take no room of their own."""
        saved, used = 0, set()
        for name, roots in self._lifetimes.takers(layer):
            size = self._held.get(name, 0)
            if not size or self._lifetimes.last_read(name, self._stop) <= layer:
                continue
            for root in roots:
                dies = self._held.get(root) == size and self._lifetimes.last_read(root, self._stop) == layer
                if dies and root not in used:
                    used.add(root)
                    saved += size
                    break
        self._totals[layer] -= saved - self._saved.get(layer, 0)
        self._saved[layer] = saved
