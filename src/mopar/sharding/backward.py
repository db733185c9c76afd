"""Memoised backward propagation through layers.

A part's propagation begins at the end of a step. At each position it needs some pieces of the tensors that cross there:
its *state*. Equal states propagate alike, so each layer is propagated through once per state behind it, and searches
that began at different ends share the results. In a chain of layers the number of states per position is the number
of layouts, not of later positions, so the number of propagations is linear in the number of layers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mopar.graph import Layer, Model
from mopar.nodes import is_weight, name_of, reads_of
from mopar.sharding.pieces import ConflictError, Piece
from mopar.sharding.propagate import Propagation, fraction
from mopar.sharding.rule import Part
from mopar.sharding.work import operations


class Boundaries:
    """The boundary tensors of each position between a model's layers."""

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
        """Tensors produced by layers before ``stop`` and read after it, in order of production."""
        return tuple(value for value, made in self._made.items() if made < stop <= self._last.get(value, -1))

    def made_in(self, value: ir.Value) -> int:
        """The layer that produces a tensor; -1 for an input of the request."""
        return self._made.get(value, -1)


def reads(node: ir.Node) -> tuple[ir.Value, ...]:
    """Tensors that a node reads, captures of its subgraphs included, weights excluded."""
    assert node.graph is not None
    return tuple(value for value in reads_of(node, node.graph) if not is_weight(value))


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a part needs, at a position, of the tensors produced before it; equal states are one object.

    Attributes:
        needs: pieces that the visited layers need.
        wanted: pieces that are requested of the part at the end of the step.
        leaving: outputs of the step, whichever parts produce them.
        needs_summand: whether a needed piece is a summand, which cannot be an input of a step.
    """

    needs: Mapping[ir.Value, Piece]
    wanted: Mapping[ir.Value, Piece]
    leaving: frozenset[ir.Value]
    needs_summand: bool


@dataclass(frozen=True, slots=True)
class LayerShare:
    """A part's share of a layer.

    Attributes:
        state: the state before the layer.
        share: share of the layer's time.
        weights: needed pieces of weights.
        made: produced tensors by name, each with the share of its elements.
        reach: number of the first node that rules looked at; the result is valid for every step that contains it.
    """

    state: State
    share: float
    weights: tuple[tuple[ir.Value, Piece], ...]
    made: tuple[tuple[str, float], ...]
    reach: int


_Key = tuple[int, frozenset[tuple[ir.Value, Piece]], frozenset[tuple[ir.Value, Piece]], frozenset[ir.Value]]


class BackwardPass:
    """Propagates backwards through a model's layers, through each once per state behind it.

    Attributes:
        boundaries: boundaries of the layers.
        propagations: number of propagations through a layer so far.
    """

    def __init__(self, model: Model, layers: Sequence[Layer]) -> None:
        self.boundaries = Boundaries(model, layers)
        self.propagations = 0
        self._nodes, self._layers = model.nodes, layers
        self._number = {node: number for number, node in enumerate(model.nodes)}
        self._weights = [_shares_of_work(model, layer) for layer in layers]
        self._states: dict[_Key, State] = {}
        self._shares: dict[tuple[State, Part, int], LayerShare | None] = {}

    def begin(self, stop: int, wanted: Mapping[ir.Value, Piece], leaving: frozenset[ir.Value]) -> State:
        """The state of a part, of which ``wanted`` is requested, at the end of a step."""
        return self._state(stop, {}, wanted, leaving)

    def back(self, state: State, part: Part, layer: int, first: int = 0) -> LayerShare | None:
        """Propagate through one layer; None where a request cannot be fulfilled.

        Args:
            state: the state behind the layer.
            part: the part.
            layer: number of the layer.
            first: the first layer that rules may look at.
        """
        key = state, part, first
        if key not in self._shares:
            self._shares[key] = self._propagated(state, part, layer, first)
        return self._shares[key]

    def inside(self, state: State, part: Part, stop: int, start: int) -> Iterator[tuple[int, LayerShare]]:
        """Propagate from ``stop`` back to ``start`` with rules seeing these layers only; yields (layer, share of it).

        Raises:
            ConflictError: a request cannot be fulfilled.
        """
        first = self._layers[start].start
        for layer in range(stop - 1, start - 1, -1):
            found = self.back(state, part, layer)
            if found is None or found.reach < first:
                found = self.back(state, part, layer, start)
            if found is None:
                raise ConflictError
            yield layer, found
            state = found.state

    def _propagated(self, state: State, part: Part, layer: int, first: int) -> LayerShare | None:
        self.propagations += 1
        begin, end = self._layers[layer].start, self._layers[layer].stop
        looked, first_node = [begin], self._layers[first].start

        def inside(node: ir.Node) -> bool:
            number = self._number[node]
            if number >= first_node:
                looked.append(number)
            return number >= first_node

        propagation = Propagation(part, state.wanted, state.leaving, dict(state.needs), inside=inside)
        share = 0.0
        try:
            for node in reversed(self._nodes[begin:end]):
                if propagation.back(node) is not None:
                    share += self._weights[layer][node] * propagation.share_of(node)
        except ConflictError:
            return None
        needs = {value: piece for value, piece in propagation.needs.items() if not is_weight(value)}
        weights = tuple((value, piece) for value, piece in propagation.needs.items() if is_weight(value))
        before = self._state(layer, needs, state.wanted, state.leaving)
        return LayerShare(before, share, weights, _made(propagation), min(looked))

    def _state(
        self,
        position: int,
        needs: Mapping[ir.Value, Piece],
        wanted: Mapping[ir.Value, Piece],
        leaving: frozenset[ir.Value],
    ) -> State:
        """The state at a position, restricted to tensors that are produced before it."""
        made = self.boundaries.made_in
        needs = {value: piece for value, piece in needs.items() if made(value) < position}
        wanted = {value: piece for value, piece in wanted.items() if made(value) < position}
        leaving = frozenset(value for value in leaving if made(value) < position)
        key = position, frozenset(needs.items()), frozenset(wanted.items()), leaving
        if key not in self._states:
            summand = any(piece.summand for piece in needs.values())
            self._states[key] = State(needs, wanted, leaving, summand)
        return self._states[key]


def _made(propagation: Propagation) -> tuple[tuple[str, float], ...]:
    return tuple(
        (name_of(value), fraction(value, piece))
        for node, how in propagation.shards.items()
        for value, piece in zip(node.outputs, how.outputs, strict=True)
        if value.name and piece is not None
    )


def _shares_of_work(model: Model, layer: Layer) -> dict[ir.Node, float]:
    """Each node's share of a layer's time."""
    work = {node: operations(node) for node in model.nodes[layer.start : layer.stop]}
    total = sum(work.values())
    return {node: value / total for node, value in work.items()}
