"""Helpers of rules for nodes that move, or are linear in, the elements of their first input."""

from collections.abc import Iterable

from mopar.sharding.pieces import SUMMAND, WHOLE, Piece, union
from mopar.sharding.rule import Sharded, View


def first(view: View, piece: Piece) -> tuple[Piece | None, ...]:
    """A piece of the first input, and the others whole."""
    return piece, *(None if value is None else WHOLE for value in view.node.inputs[1:])


def summand(view: View) -> Sharded | None:
    """The result for a summand of a node that is linear in its first input: a summand of that input."""
    if not view.sums(0):
        return None
    return Sharded(first(view, SUMMAND), (SUMMAND,), share=1.0)


def normal(axis: int, rank: int) -> int:
    """A possibly negative axis as a non-negative one."""
    return axis % rank


def ranked(view: View, axis: int) -> int | None:
    """A possibly negative axis of the first input as a non-negative one; None where the rank is not known."""
    shape = view.shape(0)
    return None if not shape else normal(axis, len(shape))


def all_of(view: View, pieces: Iterable[Piece]) -> Piece:
    """The smallest piece that contains several pieces of tensors as long as the first input; no summands."""
    shape, needed = view.shape(0), None
    for piece in pieces:
        size = None if shape is None or piece.axis is None else shape[piece.axis]
        needed = union(needed, piece, size)
    assert needed is not None
    return needed
