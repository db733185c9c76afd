"""Tensors at the boundaries of slices and inside, for all slices: the array form of ``boundary`` and ``memory``."""

from collections.abc import Sequence

import numpy as np

from mopar.planning.model.boundary import last_use
from mopar.planning.numbers import Floats, Indices
from mopar.types import Profile


class SliceTensors:
    """Boundary tensors of one profile as arrays over layers.

    Figures of tensors are arrays of tensors x columns, in the order of ``used``.
    """

    def __init__(self, profile: Profile) -> None:
        self._count = len(profile.layers)
        self.used = [number for number, tensor in enumerate(profile.tensors) if tensor.consumers]
        """The tensors that any layer or the response reads, by their numbers in the profile."""
        used = [profile.tensors[number] for number in self.used]
        self._producer = np.array([tensor.producer for tensor in used], dtype=np.int64)
        self._last = np.array([last_use(tensor) for tensor in used], dtype=np.int64)
        self._bytes = np.array([float(tensor.bytes) for tensor in used])
        # Each reader of each tensor as one number, ascending, so that the first reader from a layer on is found by
        # bisection.
        self._stride = self._count + 1
        readers = [(number * self._stride + reader) for number, t in enumerate(used) for reader in sorted(t.consumers)]
        self._readers = np.array(readers, dtype=np.int64)
        self._held = np.array([float(layer.activation_bytes + layer.workspace_bytes) for layer in profile.layers])
        self._live = self._by_position()
        producers, sizes = self._producer.tolist(), self._bytes.tolist()
        self._made = [[(producers[number], sizes[number]) for number in across.tolist()] for across in self._live]

    def _by_position(self) -> list[Indices]:
        """For each position, the tensors that are live across it, latest made first."""
        order = np.argsort(-self._producer, kind="stable")
        return [
            order[(self._producer[order] < position) & (self._last[order] >= position)]
            for position in range(self._count + 1)
        ]

    def entering(self, positions: Sequence[int], figures: Floats) -> Floats:
        """Sums over the tensors that enter each slice between two of ``positions``: columns x starts x stops."""
        points = np.array(positions)
        return np.stack([self._entering(start, figures)[:, points] for start in positions], axis=1)

    def leaving(self, positions: Sequence[int], figures: Floats) -> Floats:
        """Sums over the tensors that leave each slice: columns x starts x stops."""
        points = np.array(positions)
        return np.stack([self._leaving(stop, figures)[:, points] for stop in positions], axis=2)

    def live_bytes(self, start: int) -> float:
        """Tensors made before ``start`` and read at or after it."""
        return float(sum(self._bytes[self._live[start]].tolist()))

    def _entering(self, start: int, figures: Floats) -> Floats:
        """Columns x stops 0 .. count: tensors made before ``start`` and read in [start, stop)."""
        added = np.zeros((self._count + 2, figures.shape[1]))
        numbers = np.flatnonzero((self._producer < start) & (self._last >= start))
        # The first reader at or after the start; the response, at ``count``, is in no slice.
        first = self._readers[np.searchsorted(self._readers, numbers * self._stride + start)] - numbers * self._stride
        np.add.at(added, first + 1, figures[numbers])
        return np.cumsum(added, axis=0)[: self._count + 1].T

    def _leaving(self, stop: int, figures: Floats) -> Floats:
        """Columns x starts 0 .. count: tensors made in [start, stop) and read at or after ``stop``."""
        added = np.zeros((self._count + 1, figures.shape[1]))
        numbers = self._live[stop][self._producer[self._live[stop]] >= 0]
        np.add.at(added, self._producer[numbers], figures[numbers])
        return np.cumsum(added[::-1], axis=0)[::-1].T

    def active_bytes(self, start: int, positions: Sequence[int]) -> list[float]:
        """For each stop in ``positions``: the most bytes held while a layer of [start, stop) runs.

        Tensors that pass over the slice are still included. Inputs that no later layer reads stay; outputs are bound
        from the beginning, so layers before an output's producer hold it too.
        """
        entering = (self._producer < start) & (self._last >= start) & (self._last < self._count)
        finished = np.bincount(self._last[entering] + 1, weights=self._bytes[entering], minlength=self._count + 1)
        held = (self._held + np.cumsum(finished)[: self._count]).tolist()
        so_far = np.concatenate((np.zeros(start), np.maximum.accumulate(held[start:]))).tolist()
        most = []
        for stop in positions:
            peak, bound, upto = 0.0, 0.0, stop
            for producer, size in self._made[stop] if stop > start else ():
                if producer < start:
                    break
                peak = max(peak, max(held[producer:upto], default=0.0) + bound)
                bound, upto = bound + size, producer
            most.append(max(peak, so_far[upto - 1] + bound) if upto > start else peak)
        return most
