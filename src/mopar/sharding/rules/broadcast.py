"""Inputs that are broadcast to an output's shape, and outputs that are requested together."""

from mopar.sharding.pieces import WHOLE, Piece, union
from mopar.sharding.rule import Shape, Wanted


def broadcast(shape: Shape | None, piece: Piece, full: Shape) -> Piece | None:
    """The piece of a tensor that is needed for a piece of its broadcast to shape ``full``; None where not known."""
    if shape is None or piece.axis is None:
        return None
    axis = piece.axis - (len(full) - len(shape))
    if axis < 0 or shape[axis] == 1:
        return WHOLE
    if shape[axis] is None or shape[axis] != full[piece.axis]:
        return None
    return piece.along(axis)


def together(wanted: Wanted) -> Piece | None:
    """The smallest piece that contains the requests of all outputs, whose axes are the same.

    None where that is the whole tensor, or where the request is not along an axis (a whole tensor or a summand).
    """
    requested = [piece for piece in wanted if piece is not None]
    if any(piece.axis is None for piece in requested):
        return None
    found: Piece | None = None
    for piece in requested:
        found = union(found, piece)
    return None if found is None or found.is_whole else found
