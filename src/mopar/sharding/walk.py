"""Ways backwards through layers that are gone only once: what a layer does to what a part asks depends on that alone.

A part's way back begins where a step ends. Whatever it began with, at a position it asks for some pieces of the tensors
that cross there: its *state*. Of equal states the way goes on alike, so a layer is propagated through once for each
state behind it, and searches that began elsewhere share the rest. In a chain of layers there are as many states at each
position as layouts, not as many as positions behind it: propagations are linear in layers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mopar.graph import Layer, Model
from mopar.nodes import is_weight, name_of, reads_of
from mopar.sharding.pieces import ConflictError, Piece
from mopar.sharding.propagate import Propagation, size_along
from mopar.sharding.rule import Part
from mopar.sharding.work import operations


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


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a part asks at a position, of the tensors that are made before it; equal ones are one object.

    Attributes:
        needs: what the layers gone over need.
        wanted: what the part is asked for where the step ends.
        leaving: what leaves the step, in whatever part.
        asks_for_summand: whether anything that is needed would have to enter as a summand.
    """

    needs: Mapping[ir.Value, Piece]
    wanted: Mapping[ir.Value, Piece]
    leaving: frozenset[ir.Value]
    asks_for_summand: bool


@dataclass(frozen=True, slots=True)
class Passed:
    """What a part does in a layer.

    Attributes:
        state: before the layer.
        share: of its time.
        weights: what it needs of the weights.
        made: what it makes, by name: the share of each tensor's elements.
        reach: the first node, by number, that rules looked at. What they said holds for every step that has it inside.
    """

    state: State
    share: float
    weights: tuple[tuple[ir.Value, Piece], ...]
    made: tuple[tuple[str, float], ...]
    reach: int


_Key = tuple[int, frozenset[tuple[ir.Value, Piece]], frozenset[tuple[ir.Value, Piece]], frozenset[ir.Value]]


class Walks:
    """Goes back through a model's layers, through each once for every state behind it.

    Attributes:
        boundaries: of the layers.
        propagations: how many layers were propagated through so far.
    """

    def __init__(self, model: Model, layers: Sequence[Layer]) -> None:
        self.boundaries = Boundaries(model, layers)
        self.propagations = 0
        self._nodes, self._layers = model.nodes, layers
        self._number = {node: number for number, node in enumerate(model.nodes)}
        self._weights = [_shares_of_work(model, layer) for layer in layers]
        self._states: dict[_Key, State] = {}
        self._passed: dict[tuple[State, Part, int], Passed | None] = {}

    def begin(self, stop: int, wanted: Mapping[ir.Value, Piece], leaving: frozenset[ir.Value]) -> State:
        """The state of a part that is asked for ``wanted`` where a step ends."""
        return self._state(stop, {}, wanted, leaving)

    def back(self, state: State, part: Part, layer: int, first: int = 0) -> Passed | None:
        """Through one more layer; None where the part cannot have what it asks for.

        Args:
            state: behind the layer.
            part: whose it is.
            layer: its number.
            first: the first layer that rules may look at.
        """
        key = state, part, first
        if key not in self._passed:
            self._passed[key] = self._propagated(state, part, layer, first)
        return self._passed[key]

    def inside(self, state: State, part: Part, stop: int, start: int) -> Iterator[tuple[int, Passed]]:
        """From ``stop`` back to ``start``, as a model of these layers alone would be gone through; each with its layer.

        Raises:
            ConflictError: the part cannot have what it asks for.
        """
        first = self._layers[start].start
        for layer in range(stop - 1, start - 1, -1):
            passed = self.back(state, part, layer)
            if passed is None or passed.reach < first:
                passed = self.back(state, part, layer, start)
            if passed is None:
                raise ConflictError
            yield layer, passed
            state = passed.state

    def _propagated(self, state: State, part: Part, layer: int, first: int) -> Passed | None:
        self.propagations += 1
        begin, end = self._layers[layer].start, self._layers[layer].stop
        looked, first_node = [begin], self._layers[first].start

        def inside(node: ir.Node) -> bool:
            number = self._number[node]
            if number >= first_node:
                looked.append(number)
            return number >= first_node

        way = Propagation(part, state.wanted, state.leaving, dict(state.needs), inside=inside)
        share = 0.0
        try:
            for node in reversed(self._nodes[begin:end]):
                if way.back(node) is not None:
                    share += self._weights[layer][node] * way.share_of(node)
        except ConflictError:
            return None
        needs = {value: piece for value, piece in way.needs.items() if not is_weight(value)}
        weights = tuple((value, piece) for value, piece in way.needs.items() if is_weight(value))
        before = self._state(layer, needs, state.wanted, state.leaving)
        return Passed(before, share, weights, _made(way), min(looked))

    def _state(
        self,
        position: int,
        needs: Mapping[ir.Value, Piece],
        wanted: Mapping[ir.Value, Piece],
        leaving: frozenset[ir.Value],
    ) -> State:
        """The one state of what is made before a position."""
        made = self.boundaries.made_in
        needs = {value: piece for value, piece in needs.items() if made(value) < position}
        wanted = {value: piece for value, piece in wanted.items() if made(value) < position}
        leaving = frozenset(value for value in leaving if made(value) < position)
        key = position, frozenset(needs.items()), frozenset(wanted.items()), leaving
        if key not in self._states:
            summand = any(piece.summand for piece in needs.values())
            self._states[key] = State(needs, wanted, leaving, summand)
        return self._states[key]


def fraction(value: ir.Value, piece: Piece) -> float:
    """A piece's share of a tensor's elements."""
    size = size_along(value, piece)
    return piece.size / size if size else 1.0


def _made(way: Propagation) -> tuple[tuple[str, float], ...]:
    return tuple(
        (name_of(value), fraction(value, piece))
        for node, how in way.shards.items()
        for value, piece in zip(node.outputs, how.outputs, strict=True)
        if value.name and piece is not None
    )


def _shares_of_work(model: Model, layer: Layer) -> dict[ir.Node, float]:
    """Of a layer's time, each node's."""
    work = {node: operations(node) for node in model.nodes[layer.start : layer.stop]}
    total = sum(work.values())
    return {node: value / total for node, value in work.items()}
