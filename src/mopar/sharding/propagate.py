"""What one part needs of every tensor, told backwards from what it is asked for."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from mopar.graph.model import is_weight
from mopar.sharding.pieces import WHOLE, ConflictError, Piece, union
from mopar.sharding.rule import Part, Sharded, View, captured, replicated, shape_of, shard


@dataclass(slots=True)
class Propagation:
    """A part's way backwards through nodes, the last one first.

    Attributes:
        part: that asks.
        needs: what it needs of each tensor and weight met so far.
        shards: how it computes each node that it computes at all.
    """

    part: Part
    needs: dict[ir.Value, Piece]
    shards: dict[ir.Node, Sharded] = field(default_factory=dict)

    @classmethod
    def of(cls, part: Part, wanted: Mapping[ir.Value, Piece]) -> "Propagation":
        """The beginning: what the part is asked for."""
        return cls(part, dict(wanted))

    def back(self, node: ir.Node) -> Sharded | None:
        """Go over one more node, whose consumers have all been gone over; None where the part does not need it.

        Raises:
            ConflictError: a summand is asked for where none can be made.
        """
        wanted = tuple(self.needs.get(output) for output in node.outputs)
        if all(piece is None for piece in wanted):
            return None
        found = shard(View(node, self.part, self._is_asked_for), wanted)
        if found is None:
            if any(piece is not None and piece.summand for piece in wanted):
                raise ConflictError
            found = replicated(node)
        for value, piece in zip(node.inputs, found.inputs, strict=True):
            if value is not None and piece is not None:
                self._need(value, piece)
        for value in captured(node):
            self._need(value, WHOLE)
        self.shards[node] = found
        return found

    def _is_asked_for(self, value: ir.Value) -> bool:
        """Whether a tensor is needed by others than the node that reads it."""
        return value in self.needs

    def _need(self, value: ir.Value, piece: Piece) -> None:
        before = self.needs.get(value)
        size = None
        if piece.axis is not None:
            shape = shape_of(value)
            size = None if shape is None else shape[piece.axis]
        needed = union(before, piece, size)
        assert needed is not None
        self.needs[value] = needed


def propagate(nodes: Iterable[ir.Node], wanted: Mapping[ir.Value, Piece], part: Part) -> Propagation:
    """All nodes of a run (in topological order) for one part.

    Raises:
        ConflictError: the part cannot make a summand that it is asked for.
    """
    found = Propagation.of(part, wanted)
    for node in reversed(list(nodes)):
        found.back(node)
    return found


def dynamic_needs(found: Propagation, entering: Callable[[ir.Value], bool]) -> dict[ir.Value, Piece]:
    """What a part takes of the tensors that enter a run.

    Raises:
        ConflictError: of one of them it would need a summand.
    """
    needs = {value: piece for value, piece in found.needs.items() if entering(value) and not is_weight(value)}
    if any(piece.summand for piece in needs.values()):
        raise ConflictError
    return needs
