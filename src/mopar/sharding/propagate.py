"""Backward propagation: the pieces of all tensors that one part needs for the outputs requested of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from mopar.sharding.pieces import WHOLE, ConflictError, Piece, union
from mopar.sharding.rule import Part, Sharded, View, captured, replicated, shard


@dataclass(slots=True)
class Propagation:
    """State of one part's backward propagation, which visits nodes in reverse topological order.

    Attributes:
        part: the part.
        wanted: pieces of the run's outputs that are requested of the part.
        leaving: outputs of the run, whichever parts produce them.
        needs: pieces of tensors and weights that the visited nodes need.
        shards: how the part computes each visited node that it computes.
        inside: whether a node belongs to the run; true for all nodes where the run's start is not known yet.
    """

    part: Part
    wanted: Mapping[ir.Value, Piece]
    leaving: frozenset[ir.Value]
    needs: dict[ir.Value, Piece] = field(default_factory=dict)
    shards: dict[ir.Node, Sharded] = field(default_factory=dict)
    inside: Callable[[ir.Node], bool] = lambda _node: True

    def back(self, node: ir.Node) -> Sharded | None:
        """Visit a node whose consumers have all been visited; returns None where the part does not need the node.

        Raises:
            ConflictError: a summand is requested where none can be made.
        """
        wanted = tuple(self.requested_of(output) for output in node.outputs)
        if all(piece is None for piece in wanted):
            return None
        found = shard(View(node, self.part, self.leaving.__contains__, self.inside), wanted)
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

    def share_of(self, node: ir.Node) -> float:
        """The part's share of the work of a visited node."""
        found = self.shards[node]
        if found.share is not None:
            return found.share
        shares = [fraction(value, piece) for value, piece in zip(node.outputs, found.outputs, strict=True) if piece]
        return max(shares, default=1.0)

    def requested_of(self, value: ir.Value) -> Piece | None:
        """The piece of a tensor that is needed or requested; None where it is neither."""
        return union(self.needs.get(value), self.wanted.get(value), size_along(value, self.wanted.get(value)))

    def _need(self, value: ir.Value, piece: Piece) -> None:
        needed = union(self.needs.get(value), piece, size_along(value, piece))
        assert needed is not None
        self.needs[value] = needed


def size_along(value: ir.Value, piece: Piece | None) -> int | None:
    """Size of a tensor along a piece's axis; None where it is not known."""
    if piece is None or piece.axis is None or value.shape is None:
        return None
    size = value.shape[piece.axis]
    return size if isinstance(size, int) else None


def fraction(value: ir.Value, piece: Piece) -> float:
    """A piece's share of a tensor's elements."""
    size = size_along(value, piece)
    return piece.size / size if size else 1.0


def propagate(
    nodes: Iterable[ir.Node], wanted: Mapping[ir.Value, Piece], leaving: Iterable[ir.Value], part: Part
) -> Propagation:
    """Propagate one part's requests through all nodes of a run, given in topological order.

    Raises:
        ConflictError: the part cannot make a requested summand.
    """
    run = list(nodes)
    found = Propagation(part, wanted, frozenset(leaving), inside=frozenset(run).__contains__)
    for node in reversed(run):
        found.back(node)
    return found
