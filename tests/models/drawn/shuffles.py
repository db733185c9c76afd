"""Blocks that move or reduce elements, over ``(n, rows, width)`` or ``(n, width)``."""

import numpy as np

from tests.models.drawn.dense import activated, linear
from tests.models.drawn.drawing import Drawing, Tensor, parts_of, size


def crossed(d: Drawing, x: Tensor) -> Tensor:
    """A product over the rows, as in an MLP-Mixer."""
    if len(x.dims) < 3 or isinstance(x.dims[1], str):
        return permuted(d, x)
    rows = size(x.dims[1])
    turned = d.transpose(x, 0, 2, 1)
    made = activated(d, linear(d, turned, d.number(2, 12)))
    back = d.transpose(linear(d, made, rows), 0, 2, 1)
    return d.op("Add", x, back)


def permuted(d: Drawing, x: Tensor) -> Tensor:
    """Permuted columns: by a Gather, a negative step, or swapped pieces."""
    axis, how = len(x.dims) - 1, d.pick("gather", "reverse", "swap", "stride")
    if how == "gather":
        order = d.choices.integers(0, x.width, x.width + d.number(-1, 3))
        order = np.concatenate([d.choices.permutation(x.width), order])[: max(x.width, len(order))]
        return d.op("Gather", x, d.value(order), dims=(*x.dims[:-1], len(order)), axis=axis)
    if how == "reverse":
        return d.op("Add", x, d.cut(x, axis, x.width - 1, -1, -1))
    if how == "swap" and x.width > 1:
        pieces = d.split(x, axis, parts_of(d, x.width, 2))
        return d.concat(pieces[::-1], axis)
    step = d.number(2, 3)
    if x.width < 2 * step:
        return x
    return d.concat([d.cut(x, axis, start, x.width, step) for start in range(step)], axis)


def folded(d: Drawing, x: Tensor) -> Tensor:
    """The width as two axes, which are transposed."""
    divisors = [one for one in range(2, x.width) if x.width % one == 0]
    if not divisors:
        return permuted(d, x)
    one = d.pick(*divisors)
    lead = x.dims[:-1]
    apart = d.reshape(x, (*lead, one, x.width // one))
    rank = len(lead)
    turned = d.transpose(apart, *range(rank), rank + 1, rank)
    made = activated(d, linear(d, turned, turned.width)) if d.chance() else turned
    return d.reshape(made, (*lead, x.width))


def reduced(d: Drawing, x: Tensor) -> Tensor:
    """A reduction over an axis, broadcast again."""
    axis = len(x.dims) - 1 if len(x.dims) < 3 or d.chance() else 1
    dims = [1 if number == axis else dim for number, dim in enumerate(x.dims)]
    operator = d.pick("ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2", "ReduceLogSumExp", "ReduceMin")
    found = d.reduced(operator, x, [axis], dims, 1)
    if operator == "ReduceSum":
        found = d.op("Tanh", found)
    if d.chance(0.3):
        return d.op("Mul", x, d.op("Sigmoid", found))
    return d.op(d.pick("Sub", "Add"), x, found)


def scanned(d: Drawing, x: Tensor) -> Tensor:
    """A running sum, or a softmax over some axis."""
    axis = d.number(1, len(x.dims) - 1)
    if d.chance():
        made = d.op("CumSum", x, d.value(np.int64(axis)), exclusive=d.pick(0, 1), reverse=d.pick(0, 1))
        return d.op("Mul", made, d.scalar(0.3))
    return d.op("Mul", x, d.op("Softmax", x, axis=axis - len(x.dims) if d.chance() else axis))


def chosen(d: Drawing, x: Tensor) -> Tensor:
    """Elementwise choices between two branches that are continuous where they meet."""
    other = d.op("Mul", x, d.scalar(0.25))
    is_more = d.op("Greater", x, d.scalar(0.0))
    return d.op("Where", is_more, x, other, dims=x.dims)


def repeated(d: Drawing, x: Tensor) -> Tensor:
    """Copies along the last axis, some of which are cut away."""
    times, rank = d.number(2, 3), len(x.dims)
    wide = d.op("Tile", x, d.ints(*[1] * (rank - 1), times), dims=(*x.dims[:-1], x.width * times))
    start = d.number(0, x.width)
    return d.cut(wide, rank - 1, start, start + x.width + d.number(0, x.width * (times - 1) - start))


def outer(d: Drawing, x: Tensor) -> Tensor:
    """The outer product of a narrow vector with itself."""
    narrow = linear(d, x, d.number(2, 4))
    lead, rank = narrow.dims[:-1], len(narrow.dims)
    column = d.op("Unsqueeze", narrow, d.ints(rank), dims=(*narrow.dims, 1))
    row = d.op("Unsqueeze", narrow, d.ints(rank - 1), dims=(*lead, 1, narrow.width))
    product = d.op("Mul", column, row, dims=(*lead, narrow.width, narrow.width))
    return d.concat([x, d.reshape(product, (*lead, narrow.width * narrow.width))], rank - 1)


def first_row(d: Drawing, x: Tensor) -> Tensor:
    """``(n, width)`` of ``(n, rows, width)``: one row, or a reduction of all."""
    dims = (x.dims[0], x.width)
    how = d.pick("row", "slice", "mean", "max", "last")
    if how == "row":
        return d.op("Gather", x, d.value(np.int64(0)), dims=dims, axis=1)
    if how == "last":
        return d.op("Gather", x, d.value(np.int64(-1)), dims=dims, axis=1)
    if how == "slice":
        row = d.op("Slice", x, d.ints(0), d.ints(1), d.ints(1), dims=(x.dims[0], 1, x.width))
        return d.op("Squeeze", row, d.ints(1), dims=dims)
    return d.reduced("ReduceMean" if how == "mean" else "ReduceMax", x, [1], dims, 0)


BLOCKS = (crossed, permuted, folded, reduced, scanned, chosen, repeated, outer)
