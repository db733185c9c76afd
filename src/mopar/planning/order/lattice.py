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

from mopar.planning.model.at_size import at_largest
from mopar.planning.model.boundary import last_use
from mopar.planning.model.calls import CallTime
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.memory import WeightBytes
from mopar.planning.model.overhead import RuntimeOverhead
from mopar.planning.model.reorder import in_place_savings, overhead_parts, passing_bytes
from mopar.planning.model.table import SliceNeeds, SliceTable, crossing_figures, table_of
from mopar.planning.numbers import Floats, Indices, Mask
from mopar.types import Profile


@dataclass(frozen=True, slots=True)
class Lattice:
    """Boundaries, each after all that are within it; the first is empty, the last holds the model.

    Attributes:
        model: in canonical order.
        holds: boundaries x layers.
        overhead_ms: of a cut at each boundary.
    """

    model: CostModel
    holds: Mask
    overhead_ms: Floats

    @classmethod
    def of(cls, model: CostModel, holds: Mask) -> "Lattice":
        """The lattice of some boundaries."""
        return cls(model, holds, _Boundaries(model.profile, holds).overhead_ms())

    @property
    def positions(self) -> tuple[int, ...]:
        """How many layers each boundary holds: its place in every order that passes it."""
        return tuple(self.holds.sum(axis=1).tolist())

    def canonical(self) -> Mask:
        """Which boundaries the canonical order passes."""
        return _is_canonical(self.holds)

    def at(self, kept: Mask | Sequence[int]) -> "Lattice":
        """Some of its boundaries; the first and the last among them."""
        return Lattice(self.model, self.holds[kept], self.overhead_ms[kept])

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

    def table(self, rows: slice = slice(None)) -> SliceTable:
        """The table of slices that start at the boundaries in ``rows``; its columns are all boundaries."""
        inside = self.holds.astype(np.float64)
        one, two = (inside @ np.diff(np.array(elapsed)) for elapsed in (self.model.one_ms, self.model.two_ms))
        return table_of(
            self.model,
            self.positions,
            self._needs(rows, inside),
            elapsed=((one[rows], one), (two[rows], two)),
            cut_ms=self.overhead_ms[rows],
        )

    def _needs(self, rows: slice, inside: Floats) -> SliceNeeds:
        profile = self.model.profile
        sized = at_largest(profile)
        known, overhead = _Boundaries(sized, self.holds), RuntimeOverhead(profile)
        sums = overhead.per_layer @ inside.T
        inputs, *entering = known.entering(rows, crossing_figures(self.model, sized, known.used, "consumer"))
        outputs, *leaving = known.leaving(rows, crossing_figures(self.model, sized, known.used, "producer"))
        return SliceNeeds(
            resident_bytes=_weights(profile, self.holds, rows, "resident_bytes"),
            file_bytes=_weights(profile, self.holds, rows, "file_bytes"),
            active_bytes=known.active_bytes(rows, inputs + outputs),
            overhead_mib=overhead.between(sums[:, rows], sums),
            input_bytes=inputs,
            output_bytes=outputs,
            crossing=CallTime(entering[0] + leaving[0], entering[1] + leaving[1]),
        )


class _Boundaries:
    """What boundaries do to tensors; the definitions are those of ``memory``, ``boundary`` and ``reorder``."""

    def __init__(self, profile: Profile, holds: Mask) -> None:
        count = len(profile.layers)
        self._profile, self._holds = profile, holds
        self.used = [number for number, tensor in enumerate(profile.tensors) if tensor.consumers]
        self._tensors = [profile.tensors[number] for number in self.used]
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

    def entering(self, rows: slice, figures: Floats) -> list[Floats]:
        """Of each slice: sums over the tensors from before it that its layers read, for each column of figures."""
        return [_read_between(self._read, self._readers, column, rows, self._given) for column in figures.T]

    def leaving(self, rows: slice, figures: Floats) -> list[Floats]:
        """Of each slice: sums over the tensors that its layers make and that are read behind it."""
        return [self._leaving(rows, column) for column in figures.T]

    def _leaving(self, rows: slice, column: Floats) -> Floats:
        live = (self._made & self._open) * column
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

    def _still_open(self, stops: Indices, tensors: Sequence[int]) -> Floats:
        """Bytes of tensors that are read behind each stop."""
        found: Floats = self._open[stops][:, tensors] @ self._bytes[list(tensors)]
        return found

    def _inner(
        self,
        rows: slice,
        starts: Indices,
        stops: Indices,
        spans: Indices,
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


def _read_between(read: Indices, readers: Indices, sizes: Floats, rows: slice, given: Mask | None = None) -> Floats:
    """Of each slice: bytes of what some layer of it reads, each once.

    Args:
        read: boundaries x things, how many layers before a boundary read a thing.
        readers: how many layers read each.
        sizes: of each, in bytes.
        rows: starts.
        given: boundaries x things, where it counts only if it is there at the start.
    """
    total: Floats = np.zeros((len(read[rows]), len(read)))
    if not sizes.any():
        return total
    for already in range(int(readers.max(initial=0))):
        some = readers > already
        at_start = read[rows][:, some] == already
        if given is not None:
            at_start &= given[rows][:, some]
        total += (at_start * sizes[some]) @ (read[:, some] > already).T.astype(np.float64)
    return total


def _weights(profile: Profile, holds: Mask, rows: slice, what: WeightBytes) -> Floats:
    """Bytes of the weights of each slice, a weight that several of its layers share once."""
    sizes = {weight.name: int(getattr(weight, what)) for weight in profile.weights}
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
