"""Matrix products: split by columns, rows, batch, and the inner dimension (as a sum)."""

from mopar.sharding.granules import inner_span
from mopar.sharding.pieces import SUMMAND, WHOLE, Piece
from mopar.sharding.rule import Shape, Sharded, View, Wanted, rule
from mopar.sharding.rules.broadcast import broadcast

_MATRIX = 2


@rule("MatMul")
def matmul(view: View, wanted: Wanted) -> Sharded | None:
    """``(.., m, k) x (.., k, n)`` with broadcast batch axes; a vector has no ``m`` or no ``n``."""
    piece, left, right = wanted[0], view.shape(0), view.shape(1)
    if piece is None or not left or not right:
        return None
    if piece.summand:
        inner = len(left) - 1, max(len(right) - _MATRIX, 0)
        return _inner(view, *inner) or _passed_on(view)
    rows, columns = int(len(left) >= _MATRIX), int(len(right) >= _MATRIX)
    batches = max(len(left) - _MATRIX, len(right) - _MATRIX, 0)
    if piece.axis is not None and piece.axis < batches:
        return _by_batch(view, piece, batches)
    if rows and piece.axis == batches:
        return Sharded((piece.along(len(left) - 2), WHOLE), (piece,))
    if columns and piece.axis == batches + rows:
        return Sharded((WHOLE, piece.along(len(right) - 1)), (piece,))
    return None


@rule("Gemm")
def gemm(view: View, wanted: Wanted) -> Sharded | None:
    """``alpha A B + beta C`` with optionally transposed A and B; in a sum only the leader adds C."""
    piece = wanted[0]
    trans_a, trans_b = view.attribute("transA"), view.attribute("transB")
    if piece is None or piece.is_whole:
        return None
    if piece.summand:
        found = _inner(view, 0 if trans_a else 1, 1 if trans_b else 0) or _passed_on(view)
        added = WHOLE if view.part.leads else None
        return (
            None if found is None else Sharded(_with(view, found.inputs[:2], added), found.outputs, share=found.share)
        )
    product = (
        (piece.along(1 if trans_a else 0), WHOLE) if piece.axis == 0 else (WHOLE, piece.along(0 if trans_b else 1))
    )
    if view.value(2) is None:
        return Sharded(_with(view, product, None), (piece,))
    full = view.out_shape()
    added = None if full is None else broadcast(view.shape(2), piece, full)
    return None if added is None else Sharded(_with(view, product, added), (piece,))


def _inner(view: View, left_axis: int, right_axis: int) -> Sharded | None:
    """A summand: each part sums over its span of the inner dimension, where there is one for every part."""
    size = _size(view.shape(0), left_axis) or _size(view.shape(1), right_axis)
    span = inner_span(view, 0, left_axis, size)
    if span is None or size is None:
        return None
    inner = Piece(0, (span,))
    inputs = inner.along(left_axis), inner.along(right_axis)
    return Sharded((*inputs, *([None] * (len(view.node.inputs) - 2))), (SUMMAND,), share=inner.size / size)


def _passed_on(view: View) -> Sharded | None:
    """A summand from a summand of one factor: a product is linear in either."""
    for number in (0, 1):
        if view.sums(number):
            inputs = (SUMMAND, WHOLE) if number == 0 else (WHOLE, SUMMAND)
            return Sharded((*inputs, *([None] * (len(view.node.inputs) - 2))), (SUMMAND,), share=1.0)
    return None


def _by_batch(view: View, piece: Piece, batches: int) -> Sharded | None:
    """Split along a batch axis; batch axes are broadcast as in elementwise operators."""
    stacks = [shape[:-_MATRIX] for number in (0, 1) if (shape := view.shape(number)) is not None]
    full = tuple(
        _broadcast_size([stack[axis - batches] for stack in stacks if len(stack) >= batches - axis])
        for axis in range(batches)
    )
    left, right = (broadcast(stack, piece, full) for stack in stacks)
    return None if left is None or right is None else Sharded((left, right), (piece,))


def _broadcast_size(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size != 1]
    return known[0] if known else 1


def _size(shape: Shape | None, axis: int) -> int | None:
    return None if shape is None else shape[axis]


def _with(view: View, product: tuple[Piece | None, ...], added: Piece | None) -> tuple[Piece | None, ...]:
    """Pieces of Gemm's inputs, of which the last is optional."""
    more = view.node.inputs[2:]
    return *product, *(None if value is None else added for value in more)
