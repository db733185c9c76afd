"""Steps: runs of layers that parts compute side by side, found by going backwards from where they may end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mopar.graph import Layer, Model
from mopar.graph.model import is_weight, reads_of
from mopar.sharding.outputs import Layout, layouts
from mopar.sharding.pieces import ConflictError
from mopar.sharding.propagate import Propagation
from mopar.sharding.rule import Part
from mopar.sharding.work import operations

_GAIN = 0.97
"""A step whose slowest part takes more than this share of the layers' time is none."""
_PATIENCE = 0.35
_PATIENCE_MS = 0.5
"""A search goes on as long as the slowest part takes no more than its due and these: a share of it, and ms."""


@dataclass(frozen=True, slots=True)
class Step:
    """A candidate: a layout of what leaves at ``stop``, followed back to ``start``.

    Attributes:
        start, stop: layers.
        layout: of the outputs.
        part_ms: of each part.
        whole_ms: of the layers, by one.
    """

    start: int
    stop: int
    layout: Layout
    part_ms: tuple[float, ...]
    whole_ms: float

    @property
    def compute_ms(self) -> float:
        """Of the slowest part."""
        return max(self.part_ms)


class Boundaries:
    """Which tensors are live across each position of a model's layers."""

    def __init__(self, model: Model, layers: Sequence[Layer]) -> None:
        self.count = len(layers)
        self._made: dict[ir.Value, int] = {}
        self._last: dict[ir.Value, int] = {}
        graph = model.ir.graph
        for layer in layers:
            for node in model.nodes[layer.start : layer.stop]:
                for value in reads(node):
                    self._last[value] = layer.index
                self._made.update(dict.fromkeys((value for value in node.outputs if value.name), layer.index))
        self._last.update(dict.fromkeys(graph.outputs, self.count))

    def leaving(self, stop: int) -> tuple[ir.Value, ...]:
        """Made by layers before ``stop`` and read after it, in the order in which they are made."""
        return tuple(value for value, made in self._made.items() if made < stop <= self._last.get(value, -1))

    def made_in(self, value: ir.Value) -> int:
        """The layer that makes it; -1 for the request."""
        return self._made.get(value, -1)


def reads(node: ir.Node) -> tuple[ir.Value, ...]:
    """What a node reads, captures of its subgraphs included, weights left out."""
    assert node.graph is not None
    return tuple(value for value in reads_of(node, node.graph) if not is_weight(value))


def candidate_steps(
    model: Model, layers: Sequence[Layer], layer_ms: Sequence[float], positions: Sequence[int], parts: int
) -> Iterator[Step]:
    """Steps between ``positions`` (ascending; 0 and the number of layers included) that are quicker in parts.

    Args:
        model: in canonical form.
        layers: of the model.
        layer_ms: time of each layer.
        positions: where a step may begin or end.
        parts: how many.
    """
    boundaries, begins = Boundaries(model, layers), set(positions)
    weights = [_weights_of(model, layer) for layer in layers]
    run = _Run(model, layers, layer_ms, weights, boundaries, begins)
    for stop in positions[1:]:
        leaving = boundaries.leaving(stop)
        for layout in layouts(leaving, parts):
            yield from _back(run, stop, layout, frozenset(leaving))


@dataclass(frozen=True, slots=True)
class _Run:
    model: Model
    layers: Sequence[Layer]
    layer_ms: Sequence[float]
    weights: Sequence[Mapping[ir.Node, float]]
    boundaries: Boundaries
    begins: set[int]


def _back(run: _Run, stop: int, layout: Layout, leaving: frozenset[ir.Value]) -> Iterator[Step]:
    """Steps of one end and layout, the shortest first."""
    count = len(layout.wanted)
    ways = [Propagation(Part(index, count), wanted, leaving) for index, wanted in enumerate(layout.wanted)]
    spent, whole = [0.0] * count, 0.0
    for index in range(stop - 1, -1, -1):
        layer, ms = run.layers[index], run.layer_ms[index]
        try:
            shares = [_share(run, way, layer) for way in ways]
        except ConflictError:
            return
        spent = [before + ms * share for before, share in zip(spent, shares, strict=True)]
        whole += ms
        slowest = max(spent)
        if slowest > (1 + _PATIENCE) * whole / count + _PATIENCE_MS:
            return
        if (
            index in run.begins
            and slowest < _GAIN * whole
            and not any(_asks_for_summand(run, way, index) for way in ways)
        ):
            yield Step(index, stop, layout, tuple(spent), whole)


def _share(run: _Run, way: Propagation, layer: Layer) -> float:
    """Of a layer's time, what one part spends on it."""
    total = 0.0
    weights = run.weights[layer.index]
    for node in reversed(run.model.nodes[layer.start : layer.stop]):
        found = way.back(node)
        if found is not None:
            total += weights[node] * way.share_of(node)
    return total


def _asks_for_summand(run: _Run, way: Propagation, start: int) -> bool:
    return any(
        piece.summand and run.boundaries.made_in(value) < start and not is_weight(value)
        for value, piece in way.needs.items()
    )


def _weights_of(model: Model, layer: Layer) -> dict[ir.Node, float]:
    nodes = model.nodes[layer.start : layer.stop]
    work = {node: operations(node) for node in nodes}
    total = sum(work.values())
    return {node: value / total for node, value in work.items()}
