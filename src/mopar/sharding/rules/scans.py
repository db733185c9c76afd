"""Operators that work along one axis or on a matrix's triangle, and split along the other axes."""

import numpy as np

from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.linear import all_of, first, ranked, summand


@rule("CumSum")
def cumulative_sum(view: View, wanted: Wanted) -> Sharded | None:
    """Split along any axis but the summed one."""
    piece, given = wanted[0], view.ints(1)
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    axis = ranked(view, given[0]) if given else None
    return None if axis is None or piece.axis == axis else Sharded(first(view, piece), (piece,))


@rule("TopK")
def top_k(view: View, wanted: Wanted) -> Sharded | None:
    """Split along any axis but the searched one; values and indices alike."""
    axis = ranked(view, view.attribute("axis", -1))
    requested = [piece for piece in wanted if piece is not None]
    if axis is None or any(piece.summand for piece in requested):
        return None
    needed = all_of(view, requested)
    if needed.axis in {None, axis}:
        return None
    return Sharded(first(view, needed), (needed,) * len(wanted))


@rule("Trilu")
def triangle(view: View, wanted: Wanted) -> Sharded | None:
    """Split along batch axes, and along rows or columns with a shifted diagonal."""
    piece, shape = wanted[0], view.shape(0)
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    if shape is None or piece.axis is None:
        return None
    if piece.axis < len(shape) - 2:
        return Sharded(first(view, piece), (piece,))
    diagonal = [0] if view.value(1) is None else view.ints(1)
    if diagonal is None:
        return None
    made = piece.hull()
    begin = made.spans[0][0]
    moved = diagonal[0] + (begin if piece.axis == len(shape) - 2 else -begin)
    inputs = (made, *[None] * (len(view.node.inputs) - 1))
    return Sharded(inputs, (made,), constants={1: np.array(moved, np.int64)})


@rule("ConstantOfShape")
def constant_of_shape(view: View, wanted: Wanted) -> Sharded | None:
    """A part fills its own piece, where the shape is known."""
    piece, shape = wanted[0], view.out_shape()
    if piece is None or piece.axis is None or shape is None:
        return None
    dims = [piece.size if axis == piece.axis else dim for axis, dim in enumerate(shape)]
    known = [dim for dim in dims if dim is not None]
    if len(known) < len(dims):
        return None
    return Sharded((None,), (piece,), constants={0: np.array(known, np.int64)})
