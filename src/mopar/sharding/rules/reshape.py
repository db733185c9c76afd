"""Operators that change the shape or the order of axes: Reshape, Flatten, Squeeze, Unsqueeze, Transpose."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from mopar.sharding.pieces import Piece
from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.factors import Dim, dims_of, groups_of, map_back
from mopar.sharding.rules.linear import first, normal, summand

_AXES_ARE_INPUTS = 13
"""Opset from which on Squeeze takes its axes as an input."""


@rule("Reshape")
def reshape(view: View, wanted: Wanted) -> Sharded | None:
    """Pieces map through the groups of axes that hold the same elements; the part's shape becomes a constant."""
    piece, before, after = wanted[0], dims_of(view.value(0)), dims_of(view.node.outputs[0])
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    if before is None or after is None or 0 in before:
        return None
    found = map_back(before, after, piece)
    if found is None:
        return None
    taken, made = found
    target = _target(before, after, made)
    if target is None:
        return None
    return Sharded((taken, None), (made,), {"allowzero": None}, {1: np.array(target, np.int64)})


@rule("Flatten")
def flatten(view: View, wanted: Wanted) -> Sharded | None:
    """A reshape to two axes whose result shape follows from the input."""
    piece, before, after = wanted[0], dims_of(view.value(0)), dims_of(view.node.outputs[0])
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    found = None if before is None or after is None or 0 in before else map_back(before, after, piece)
    return None if found is None else Sharded((found[0],), (found[1],))


@rule("Squeeze")
def squeeze(view: View, wanted: Wanted) -> Sharded | None:
    """The squeezed axes are made explicit, since a part may have size 1 along another axis."""
    piece, shape = wanted[0], view.shape(0)
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    axes = _axes(view)
    is_given = axes is not None
    if shape is not None and None not in shape and not is_given and view.value(1) is None:
        axes = [axis for axis, dim in enumerate(shape) if dim == 1]
    if shape is None or axes is None or piece.axis is None:
        return None
    gone = {normal(axis, len(shape)) for axis in axes}
    left = [axis for axis in range(len(shape)) if axis not in gone]
    inputs = first(view, piece.along(left[piece.axis]))
    if is_given:
        return Sharded(inputs, (piece,))
    if view.opset < _AXES_ARE_INPUTS:
        return Sharded(inputs, (piece,), {"axes": ir.AttrInt64s("axes", sorted(gone))})
    return Sharded(inputs, (piece,), constants={1: np.array(sorted(gone), np.int64)})


@rule("Unsqueeze")
def unsqueeze(view: View, wanted: Wanted) -> Sharded | None:
    """Split along any axis but the new ones."""
    piece, shape, axes = wanted[0], view.shape(0), _axes(view)
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    if shape is None or axes is None:
        return None
    rank = len(shape) + len(axes)
    new = {normal(axis, rank) for axis in axes}
    old = [axis for axis in range(rank) if axis not in new]
    return Sharded(first(view, piece.along(old.index(piece.axis))), (piece,)) if piece.axis in old else None


@rule("Transpose")
def transpose(view: View, wanted: Wanted) -> Sharded | None:
    """Split along any axis."""
    piece, shape = wanted[0], view.shape(0)
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    order = view.attribute_ints("perm") or (None if shape is None else list(range(len(shape)))[::-1])
    if order is None or piece.axis is None:
        return None
    return Sharded((piece.along(order[piece.axis]),), (piece,))


def _axes(view: View) -> list[int] | None:
    """The axes of Squeeze and Unsqueeze, which are an attribute or an input."""
    return view.attribute_ints("axes") or view.ints(1)


def _target(before: Sequence[Dim], after: Sequence[Dim], made: Piece) -> list[int] | None:
    """The part's target shape: 0 copies the input's axis of the same number, and one unknown axis can be -1."""
    copied = {one.outputs[0] for one in groups_of(before, after) if one.is_one_to_one and one.inputs == one.outputs}
    target = []
    for axis, dim in enumerate(after):
        if axis == made.axis:
            target.append(made.size)
        elif isinstance(dim, int):
            target.append(dim)
        else:
            target.append(0 if axis in copied else -1)
    return target if target.count(-1) <= 1 else None
