"""What many rules say alike: of nodes that move elements of their first input, or add them up with fixed factors."""

from collections.abc import Iterable

from mopar.sharding.pieces import SUMMAND, WHOLE, Piece, union
from mopar.sharding.rule import Sharded, View


def first(view: View, piece: Piece) -> tuple[Piece | None, ...]:
    """A piece of the first input, and the others whole."""
    return piece, *(None if value is None else WHOLE for value in view.node.inputs[1:])


def summand(view: View) -> Sharded | None:
    """Of a node that is linear in its first input: a summand of that makes a summand of the output."""
    if not view.sums(0):
        return None
    return Sharded(first(view, SUMMAND), (SUMMAND,), share=1.0)


def normal(axis: int, rank: int) -> int:
    """An axis that may be counted from the end, counted from the front."""
    return axis % rank


def ranked(view: View, axis: int) -> int | None:
    """An axis of the first input, counted from the front; None where its rank is not known."""
    shape = view.shape(0)
    return None if not shape else normal(axis, len(shape))


def all_of(view: View, pieces: Iterable[Piece]) -> Piece:
    """The least piece that covers several of outputs as long as the first input; none of them is a summand."""
    shape, needed = view.shape(0), None
    for piece in pieces:
        size = None if shape is None or piece.axis is None else shape[piece.axis]
        needed = union(needed, piece, size)
    assert needed is not None
    return needed
