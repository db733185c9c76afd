"""Inputs that are broadcast to the shape of an output, and outputs that are asked for together."""

from mopar.sharding.pieces import WHOLE, Piece, union
from mopar.sharding.rule import Shape, Wanted


def broadcast(shape: Shape | None, piece: Piece, full: Shape) -> Piece | None:
    """Of a tensor that is broadcast to shape ``full``, what a piece of that needs; None where it is not known."""
    if shape is None or piece.axis is None:
        return None
    axis = piece.axis - (len(full) - len(shape))
    if axis < 0 or shape[axis] == 1:
        return WHOLE
    if shape[axis] is None or shape[axis] != full[piece.axis]:
        return None
    return piece.along(axis)


def together(wanted: Wanted) -> Piece | None:
    """One piece that covers all that is asked of outputs whose axes are the same; None where it splits along no axis.

    A summand is none: what is asked here is computed.
    """
    asked = [piece for piece in wanted if piece is not None]
    if any(piece.axis is None for piece in asked):
        return None
    found: Piece | None = None
    for piece in asked:
        found = union(found, piece)
    return None if found is None or found.is_whole else found
