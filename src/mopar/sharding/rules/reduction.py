"""Reductions: split along the axes that are kept, and along reduced axes (as a sum)."""

from mopar.sharding.granules import inner_span
from mopar.sharding.pieces import SUMMAND, Piece
from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.linear import first, normal, summand

_LINEAR = ("ReduceSum", "ReduceMean")
_SUMS_OF_EACH = ("ReduceSum", "ReduceSumSquare", "ReduceL1")
"""Reductions that are linear: the result for a tensor is the sum of the results for its pieces."""
_OTHERS = ("ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp")


@rule("ReduceMean", *_SUMS_OF_EACH, *_OTHERS)
def reduction(view: View, wanted: Wanted) -> Sharded | None:
    """Axes are an attribute; from some opset on, depending on the operator, an input."""
    piece, axes = wanted[0], _axes(view)
    if piece is None:
        return None
    if piece.summand:
        return _sum(view, axes)
    return None if axes is None else _along(view, piece, axes)


def _axes(view: View) -> set[int] | None:
    """The reduced axes; None where they are not known."""
    shape, given = view.shape(0), view.attribute_ints("axes")
    if given is None and view.value(1) is not None:
        given = view.ints(1)
        if given is None:
            return None
    if shape is None:
        return None
    if given:
        return {normal(axis, len(shape)) for axis in given}
    return set() if view.attribute("noop_with_empty_axes") else set(range(len(shape)))


def _along(view: View, piece: Piece, axes: set[int]) -> Sharded | None:
    """A piece along an axis that is kept."""
    shape = view.shape(0)
    assert piece.axis is not None
    assert shape is not None
    if view.attribute("keepdims", 1):
        taken = piece.axis
    else:
        taken = [axis for axis in range(len(shape)) if axis not in axes][piece.axis]
    return None if taken in axes else Sharded(first(view, piece.along(taken)), (piece,))


def _sum(view: View, axes: set[int] | None) -> Sharded | None:
    """A summand: each part reduces its span of the longest reduced axis, or a summand of the input."""
    shape = view.shape(0)
    if view.op_type in _SUMS_OF_EACH and axes and shape is not None:
        size, axis = max((shape[axis] or 0, axis) for axis in axes)
        span = inner_span(view, 0, axis, size)
        if span is not None:
            return Sharded(first(view, Piece(axis, (span,))), (SUMMAND,), share=(span[1] - span[0]) / size)
    return summand(view) if view.op_type in _LINEAR else None
