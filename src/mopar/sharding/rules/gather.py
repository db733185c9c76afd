"""Gather, Scatter and OneHot: data splits along axes that are not indexed, indices along their own axes."""

import numpy as np

from mopar.sharding.pieces import WHOLE, Piece, merge
from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.linear import ranked, summand

_MOST_SPANS = 32


@rule("Gather")
def gather(view: View, wanted: Wanted) -> Sharded | None:
    """Columns of a table; or, with constant indices, only the rows that a part needs."""
    piece, axis, indices = wanted[0], ranked(view, view.attribute("axis")), view.shape(1)
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    if axis is None or indices is None or piece.axis is None:
        return None
    if piece.axis < axis:
        return Sharded((piece, WHOLE), (piece,))
    if piece.axis >= axis + len(indices):
        return Sharded((piece.along(piece.axis - len(indices) + 1), WHOLE), (piece,))
    rows = piece.along(piece.axis - axis)
    return _named_rows(view, axis, rows, piece) or Sharded((WHOLE, rows), (piece,))


@rule("GatherElements")
def gather_elements(view: View, wanted: Wanted) -> Sharded | None:
    """Data and indices split alike along all axes but the gathered one."""
    piece, axis = wanted[0], ranked(view, view.attribute("axis"))
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    return None if axis is None else Sharded((WHOLE if piece.axis == axis else piece, piece), (piece,))


@rule("GatherND")
def gather_nd(view: View, wanted: Wanted) -> Sharded | None:
    """The output's axes are batch axes, then axes of the indices, then the remaining axes of the data."""
    piece, data, indices, batches = wanted[0], view.shape(0), view.shape(1), view.attribute("batch_dims")
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    if not data or not indices or indices[-1] is None or piece.axis is None:
        return None
    if piece.axis < batches:
        return Sharded((piece, piece), (piece,))
    if piece.axis < len(indices) - 1:
        return Sharded((WHOLE, piece), (piece,))
    axis = piece.axis - (len(indices) - 1) + batches + indices[-1]
    return Sharded((piece.along(axis), WHOLE), (piece,))


@rule("ScatterND")
def scatter_nd(view: View, wanted: Wanted) -> Sharded | None:
    """Axes of the data that are not indexed; in the updates they follow the axes of the indices."""
    piece, indices = wanted[0], view.shape(1)
    if piece is None or piece.summand or piece.axis is None or not indices or indices[-1] is None:
        return None
    if piece.axis < indices[-1]:
        return None
    updates = piece.along(piece.axis - indices[-1] + len(indices) - 1)
    return Sharded((piece, WHOLE, updates), (piece,))


@rule("ScatterElements", "Scatter")
def scatter_elements(view: View, wanted: Wanted) -> Sharded | None:
    """Axes other than the indexed one, where indices and data have the same size."""
    piece, axis, data, indices = wanted[0], ranked(view, view.attribute("axis")), view.shape(0), view.shape(1)
    if piece is None or piece.summand or piece.axis in {None, axis} or data is None or indices is None:
        return None
    assert piece.axis is not None
    if data[piece.axis] is None or data[piece.axis] != indices[piece.axis]:
        return None
    return Sharded((piece, piece, piece), (piece,))


@rule("OneHot")
def one_hot(view: View, wanted: Wanted) -> Sharded | None:
    """Axes of the indices; the new axis stays whole."""
    piece, full = wanted[0], view.out_shape()
    if piece is None or piece.summand or piece.axis is None or not full:
        return None
    axis = view.attribute("axis", -1) % len(full)
    if piece.axis == axis:
        return None
    return Sharded((piece.along(piece.axis - (piece.axis > axis)), WHOLE, WHOLE), (piece,))


def _named_rows(view: View, axis: int, rows: Piece, made: Piece) -> Sharded | None:
    """Only the rows of a table that occur in the constant indices; the indices are renumbered."""
    indices, shape = view.constant(1), view.shape(0)
    size = None if shape is None else shape[axis]
    if indices is None or size is None or rows.axis is None:
        return None
    chosen = np.concatenate([np.take(indices, range(*span), rows.axis) for span in rows.spans], rows.axis) % size
    names, places = np.unique(chosen, return_inverse=True)
    spans = merge((int(name), int(name) + 1) for name in names)
    if not spans or len(spans) > _MOST_SPANS or spans == ((0, size),):
        return None
    local = places.reshape(chosen.shape).astype(indices.dtype)
    return Sharded((Piece(axis, spans), None), (made,), constants={1: local})
