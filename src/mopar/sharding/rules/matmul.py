"""Matrix products: by columns, by rows, by batch, and by the dimension that is summed over."""

from mopar.sharding.pieces import SUMMAND, WHOLE, Piece
from mopar.sharding.rule import Shape, Sharded, View, Wanted, rule

_MATRIX = 2


@rule("MatMul")
def matmul(view: View, wanted: Wanted) -> Sharded | None:
    """``(.., m, k) x (.., k, n)`` with broadcast batches; a vector has no ``m``, or no ``n``."""
    piece, left, right, full = wanted[0], view.shape(0), view.shape(1), view.out_shape()
    if piece is None or left is None or right is None or full is None:
        return None
    if piece.summand:
        return _inner(view, len(left) - 1, max(len(right) - _MATRIX, 0), left[-1])
    if min(len(left), len(right)) < _MATRIX or piece.axis is None:
        return None
    rank = len(full)
    if piece.axis == rank - 1:
        return Sharded((WHOLE, piece.along(len(right) - 1)), (piece,))
    if piece.axis == rank - 2:
        return Sharded((piece.along(len(left) - 2), WHOLE), (piece,))
    inputs = [_batch(shape, piece, full) for shape in (left, right)]
    found = [one for one in inputs if one is not None]
    return Sharded(tuple(found), (piece,)) if len(found) == len(inputs) else None


@rule("Gemm")
def gemm(view: View, wanted: Wanted) -> Sharded | None:
    """``alpha A B + beta C``, A and B transposed or not; C is added to a sum once."""
    piece, left, right = wanted[0], view.shape(0), view.shape(1)
    if piece is None or left is None or right is None:
        return None
    trans_a, trans_b = view.attribute("transA"), view.attribute("transB")
    if piece.summand:
        found = _inner(view, 0 if trans_a else 1, 1 if trans_b else 0, left[0 if trans_a else 1])
        if found is None or view.value(2) is None:
            return found
        return Sharded((*found.inputs, WHOLE if view.part.leads else None), found.outputs, share=found.share)
    inputs = (piece.along(1 if trans_a else 0), WHOLE) if piece.axis == 0 else (WHOLE, piece.along(0 if trans_b else 1))
    if view.value(2) is None:
        return Sharded(inputs, (piece,))
    added = _added(view, piece)
    return None if added is None else Sharded((*inputs, added), (piece,))


def _inner(view: View, left_axis: int, right_axis: int, size: int | None) -> Sharded | None:
    """Each part sums over its own span of the inner dimension."""
    span = None if size is None else view.part.span_of(size)
    if span is None or size is None:
        return None
    inner = Piece(0, (span,))
    inputs = (inner.along(left_axis), inner.along(right_axis))
    return Sharded(inputs, (SUMMAND,), share=inner.size / size)


def _batch(shape: Shape, piece: Piece, full: Shape) -> Piece | None:
    """Of an input, for a piece along a batch axis of the output; None where it is not known."""
    assert piece.axis is not None
    axis = piece.axis - (len(full) - len(shape))
    if axis < 0 or shape[axis] == 1:
        return WHOLE
    if shape[axis] is None or shape[axis] != full[piece.axis]:
        return None
    return piece.along(axis)


def _added(view: View, piece: Piece) -> Piece | None:
    """Of Gemm's C, which is broadcast to the output."""
    shape, full = view.shape(2), view.out_shape()
    return None if shape is None or full is None else _batch(shape, piece, full)
