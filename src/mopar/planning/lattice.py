"""Slices between boundaries of any order of the branches: the table of slices, where positions become boundaries.

A slice is the runs between two boundaries, the one within the other; a plan is a path of boundaries from the empty one
to the whole model, and each path is a plan of some order. So the search over positions finds the best of all orders at
once. Inside a function, layers stand in canonical order: no boundary changes with it, and the engine sorts them itself.

The table's figures are those of ``slice_table`` on the ``reordered`` profile, for every pair of boundaries, as sums of
products of what is before a slice and what is before its end. O(n^2 x layers) time, O(n^2) memory for n boundaries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mopar.planning.arithmetic import CallCosts, Floats
from mopar.planning.at_size import at_largest
from mopar.planning.boundary import last_use
from mopar.planning.memory import Extra
from mopar.planning.reorder import in_place_savings, overhead_parts, passing_bytes
from mopar.planning.table import SliceTable, elapsed_of, priced_table
from mopar.types import Profile

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Lattice:
    """Boundaries, each after all that are within it; the first is empty, the last holds the model.

    Attributes:
        profile: in canonical order.
        holds: boundaries x layers.
        overhead_ms: of a cut at each boundary.
    """

    profile: Profile
    holds: Mask
    overhead_ms: Floats

    @classmethod
    def of(cls, profile: Profile, holds: Mask) -> "Lattice":
        """The lattice of some boundaries."""
        return cls(profile, holds, _Boundaries(profile, holds).overhead_ms())

    @property
    def positions(self) -> tuple[int, ...]:
        """How many layers each boundary holds: its place in every order that passes it."""
        return tuple(self.holds.sum(axis=1).tolist())

    def canonical(self) -> Mask:
        """Which boundaries the canonical order passes."""
        return _is_canonical(self.holds)

    def at(self, kept: Mask | Sequence[int]) -> "Lattice":
        """Some of its boundaries; the first and the last among them."""
        return Lattice(self.profile, self.holds[kept], self.overhead_ms[kept])

    def candidates(self, rows: slice = slice(None)) -> Mask:
        """For the boundaries in ``rows``, which others they are within."""
        starts, stops = (self.holds.astype(np.float32)[part] for part in (rows, slice(None)))
        within = starts @ (1 - stops).T == 0
        places = np.array(self.positions)
        found: Mask = within & (places[rows][:, None] < places[None, :])
        return found

    def order(self, path: Sequence[int]) -> tuple[int, ...]:
        """The order of the layers in which a path of boundaries, by number, first to last, can be cut."""
        pieces = (np.flatnonzero(self.holds[stop] & ~self.holds[start]) for start, stop in pairwise(path))
        return tuple(layer for piece in pieces for layer in piece.tolist())

    def table(self, costs: CallCosts, rows: slice = slice(None)) -> SliceTable:
        """The table of slices that start at the boundaries in ``rows``; its columns are all boundaries."""
        profile, sized = self.profile, at_largest(self.profile)
        known = _Boundaries(sized, self.holds)
        inside = self.holds.astype(np.float64)
        extra = Extra(profile)
        sums = extra.per_layer @ inside.T
        inputs, outputs = known.input_bytes(rows), known.output_bytes(rows)
        here = None if sized is profile else _Boundaries(profile, self.holds)
        resident, files = (
            _weights(profile, self.holds, rows, {weight.name: getattr(weight, field) for weight in profile.weights})
            for field in ("resident_bytes", "file_bytes")
        )
        one, two = (inside @ np.diff(np.array(elapsed)) for elapsed in elapsed_of(profile))
        return priced_table(
            profile,
            costs,
            self.positions,
            elapsed=((one[rows], one), (two[rows], two)),
            overhead=self.overhead_ms[rows],
            resident_bytes=resident,
            active_bytes=known.active_bytes(rows, inputs + outputs),
            extra_mib=extra.between(sums[:, rows], sums),
            input_bytes=inputs,
            output_bytes=outputs,
            body_bytes=inputs + outputs if here is None else here.input_bytes(rows) + here.output_bytes(rows),
            file_bytes=files,
        )


class _Boundaries:
    """What boundaries do to tensors; the definitions are those of ``memory``, ``boundary`` and ``reorder``."""

    def __init__(self, profile: Profile, holds: Mask) -> None:
        count = len(profile.layers)
        self._profile, self._holds = profile, holds
        self._tensors = [tensor for tensor in profile.tensors if tensor.consumers]
        self._bytes = np.array([float(tensor.bytes) for tensor in self._tensors])
        # Of each tensor: whether it is made before the boundary, by a layer; how many layers before it read it.
        made = [holds[:, t.producer] if t.producer >= 0 else np.zeros(len(holds), dtype=bool) for t in self._tensors]
        self._made = np.stack(made, axis=1)
        self._given = self._made | np.array([tensor.producer < 0 for tensor in self._tensors])
        reads = [[reader for reader in tensor.consumers if reader < count] for tensor in self._tensors]
        self._readers = np.array([len(readers) for readers in reads])
        self._read = np.stack([holds[:, readers].sum(axis=1) for readers in reads], axis=1)
        answered = np.array([count in tensor.consumers for tensor in self._tensors])
        self._open = (self._read < self._readers) | answered  # someone behind the boundary reads it

    def input_bytes(self, rows: slice) -> Floats:
        """Of each slice: tensors from before it that its layers read."""
        return _read_between(self._read, self._readers, self._bytes, rows, self._given)

    def output_bytes(self, rows: slice) -> Floats:
        """Of each slice: tensors that its layers make and that are read behind it."""
        live = (self._made & self._open) * self._bytes
        total: Floats = live.sum(axis=1)[None, :] - self._made[rows].astype(np.float64) @ live.T
        return total

    def overhead_ms(self) -> Floats:
        """Of a cut at each boundary: the canonical figure where the canonical order has it."""
        parts = overhead_parts(self._profile)
        each = np.array([parts[tensor.name] for tensor in self._tensors])
        known = {cut.index: cut.overhead_ms for cut in self._profile.cut_positions}
        places = self._holds.sum(axis=1).tolist()
        found: Floats = (self._made & self._open) @ each
        for number in np.flatnonzero(_is_canonical(self._holds)).tolist():
            found[number] = known.get(places[number], 0.0)
        return found

    def active_bytes(self, rows: slice, crossing: Floats) -> Floats:
        """Of each slice: the most bytes of tensors that it holds while one of its layers runs.

        Args:
            rows: starts.
            crossing: of each slice, inputs and outputs, which it holds throughout.
        """
        passing = passing_bytes(self._profile.tensors, len(self._profile.layers))
        savings = in_place_savings(self._profile)
        touched: list[list[int]] = [[] for _ in passing]
        for number, tensor in enumerate(self._tensors):
            for place in {tensor.producer, *tensor.consumers}:
                if 0 <= place < len(passing):
                    touched[place].append(number)
        spans = np.array([(t.producer, last_use(t)) for t in self._tensors]).reshape(-1, 2)
        most: Floats = np.zeros_like(crossing)
        numbers = {tensor.name: number for number, tensor in enumerate(self._tensors)}
        for layer in self._profile.layers:
            index = layer.index
            starts, stops = np.flatnonzero(~self._holds[rows, index]), np.flatnonzero(self._holds[:, index])
            own = float(layer.activation_bytes + layer.workspace_bytes - passing[index])
            saved, dying = savings[index]
            held = crossing[np.ix_(starts, stops)] + own
            held += np.minimum(saved, self._still_open(stops, [numbers[t.name] for t in dying]))[None, :]
            held += self._inner(rows, starts, stops, spans, index, touched[index])
            block = np.ix_(starts, stops)
            most[block] = np.maximum(most[block], held)
        return most

    def _still_open(self, stops: npt.NDArray[np.int64], tensors: Sequence[int]) -> Floats:
        """Bytes of tensors that are read behind each stop."""
        found: Floats = self._open[stops][:, tensors] @ self._bytes[list(tensors)]
        return found

    def _inner(
        self,
        rows: slice,
        starts: npt.NDArray[np.int64],
        stops: npt.NDArray[np.int64],
        spans: npt.NDArray[np.int64],
        layer: int,
        touched: Sequence[int],
    ) -> Floats:
        """While a layer runs: tensors that stay inside the slice, less what it touches itself of those that cross.

        Inside are those made before the layer and read after it, with no reader behind the slice. Its own inputs and
        outputs are in its own figure and among those that cross: once is enough.
        """
        passing = np.flatnonzero((spans[:, 0] >= 0) & (spans[:, 0] < layer) & (spans[:, 1] > layer)).tolist()
        inner = [number for number in passing if number not in touched]
        given = self._given[rows][starts].astype(np.float64)
        before = self._bytes * (1.0 - given)
        found: Floats = before[:, inner] @ (~self._open[stops][:, inner]).T.astype(np.float64)
        found -= before[:, touched] @ self._open[stops][:, touched].T.astype(np.float64)
        found -= (given[:, touched] @ self._bytes[list(touched)])[:, None]
        return found


def _is_canonical(holds: Mask) -> Mask:
    gaps = (np.diff(holds.astype(np.int8), axis=1) > 0).sum(axis=1)
    found: Mask = gaps == 0
    return found


def _read_between(
    read: npt.NDArray[np.int64], readers: npt.NDArray[np.int64], sizes: Floats, rows: slice, given: Mask | None = None
) -> Floats:
    """Of each slice: bytes of what some layer of it reads, each once.

    Args:
        read: boundaries x things, how many layers before a boundary read a thing.
        readers: how many layers read each.
        sizes: of each, in bytes.
        rows: starts.
        given: boundaries x things, where it counts only if it is there at the start.
    """
    total: Floats = np.zeros((len(read[rows]), len(read)))
    for already in range(int(readers.max(initial=0))):
        some = readers > already
        at_start = read[rows][:, some] == already
        if given is not None:
            at_start &= given[rows][:, some]
        total += (at_start * sizes[some]) @ (read[:, some] > already).T.astype(np.float64)
    return total


def _weights(profile: Profile, holds: Mask, rows: slice, sizes: dict[str, int]) -> Floats:
    """Bytes of the weights of each slice, a weight that several of its layers share once."""
    users: dict[str, list[int]] = {name: [] for name in sizes}
    for layer in profile.layers:
        for name in set(layer.weights):
            users[name].append(layer.index)
    own = np.zeros(len(profile.layers))
    for name, layers in users.items():
        if len(layers) == 1:
            own[layers[0]] += sizes[name]
    upto = holds.astype(np.float64) @ own
    total: Floats = upto[None, :] - upto[rows][:, None]
    shared = {name: layers for name, layers in users.items() if len(layers) > 1}
    if shared:
        read = np.stack([holds[:, layers].sum(axis=1) for layers in shared.values()], axis=1)
        readers = np.array([len(layers) for layers in shared.values()])
        total += _read_between(read, readers, np.array([float(sizes[name]) for name in shared]), rows)
    return total
