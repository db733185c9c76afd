"""Rarer blocks: control flow, caches, products of odd ranks, a tensor that is read twice."""

import numpy as np
from onnx import TensorProto

from tests.models.builder import Builder
from tests.models.drawn.dense import activated, linear
from tests.models.drawn.drawing import Drawing, Tensor, size


def twice(d: Drawing, x: Tensor) -> Tensor:
    """The same tensor as both operands."""
    how = d.pick("Mul", "Add", "Concat", "gram")
    if how == "Concat":
        return d.concat([x, x], len(x.dims) - 1)
    if how == "gram" and len(x.dims) == 3 and isinstance(x.dims[1], int):
        scores = d.op("MatMul", x, d.transpose(x, 0, 2, 1), dims=(*x.dims[:2], x.dims[1]))
        return d.op("MatMul", d.op("Softmax", scores, axis=-1), x, dims=x.dims)
    return d.op("Tanh", d.op("Mul" if how == "gram" else how, x, x))


def merged(d: Drawing, x: Tensor) -> Tensor:
    """All but the last axis merged into one, through a Gemm, and back."""
    if len(x.dims) < 3:
        return activated(d, linear(d, x, d.number(3, 16)))
    rows = d.add("Reshape", x.name, d.ints(-1, x.width))
    width = d.number(3, 16)
    made = d.add("Gemm", rows, d.floats(width, x.width, fan_in=x.width), d.floats(width), transB=1)
    return d.back(d.add("Tanh", made), x, (*x.dims[:-1], width))


def odd_product(d: Drawing, x: Tensor) -> Tensor:
    """By a vector, by a stack of matrices, or as an Einsum."""
    how = d.pick("vector", "stack", "einsum", "bilinear")
    lead = x.dims[:-1]
    if how == "vector":
        score = d.op("MatMul", x, d.floats(x.width, fan_in=x.width), dims=lead)
        wide = d.op("Unsqueeze", score, d.ints(-1), dims=(*lead, 1))
        return d.op("Mul", x, d.op("Sigmoid", wide))
    if how == "stack":
        count, width = d.number(2, 4), d.number(2, 8)
        apart = d.op("Unsqueeze", x, d.ints(len(lead) - 1), dims=(*lead[:-1], 1, lead[-1], x.width))
        product = d.op(
            "MatMul", apart, d.floats(count, x.width, width, fan_in=x.width), dims=(*lead[:-1], count, lead[-1], width)
        )
        if d.chance():
            product = d.op("Add", product, d.floats(count, 1, width))
        rank = len(product.dims)
        order = [*range(rank - 3), rank - 2, rank - 3, rank - 1]
        return d.reshape(d.transpose(product, *order), (*lead, count * width))
    left = "bsd"[-len(x.dims) :] if len(x.dims) == 3 else "bd"
    width = d.number(2, 12)
    if how == "einsum":
        return d.op(
            "Einsum",
            x,
            d.floats(x.width, width, fan_in=x.width),
            dims=(*lead, width),
            equation=f"{left},de->{left[:-1]}e",
        )
    heads, each = d.number(2, 4), d.number(2, 6)
    equation = f"{left},dhe->{left[:-1]}he"
    made = d.op(
        "Einsum", x, d.floats(x.width, heads, each, fan_in=x.width), dims=(*lead, heads, each), equation=equation
    )
    back = f"{left[:-1]}he,hef->{left[:-1]}f"
    return d.op(
        "Einsum",
        activated(d, made),
        d.floats(heads, each, width, fan_in=heads * each),
        dims=(*lead, width),
        equation=back,
    )


def branch_of_control(d: Drawing, x: Tensor) -> Tensor:
    """An If whose branches read tensors and a weight from outside."""
    weight = d.floats(x.width, x.width, fan_in=x.width)
    condition = d.add("Greater", d.add("ReduceSum", x.name, keepdims=0), d.scalar(0.0))
    branches = {}
    for branch, operator in (("then_branch", "Tanh"), ("else_branch", "Sigmoid")):
        body = Builder(f"{branch}{len(d.nodes)}")
        made = body.add("MatMul", x.name, weight, output=f"{branch}{len(d.nodes)}_product")
        body.add(operator, made, output=f"{branch}{len(d.nodes)}_out")
        body.output(f"{branch}{len(d.nodes)}_out", x.dims)
        branches[branch] = body.graph()
    return d.op("Add", x, d.op("If", condition, dims=x.dims, **branches))


def cached(d: Drawing, x: Tensor) -> Tensor:
    """Attention over cached keys and values; the next request's cache is an output."""
    if len(x.dims) < 3:
        return twice(d, x)
    batch, rows = x.dims[:2]
    heads, each = d.number(1, 4), 2 * d.number(1, 3)
    past = "past" if isinstance(rows, str) or d.chance(0.3) else d.number(1, 6)
    if isinstance(past, str) and d.symbols_of("past") and d.chance(0.9):
        past = d.number(1, 6)
    total = f"total{len(d.nodes)}" if isinstance(past, str) or isinstance(rows, str) else past + size(rows)

    def heads_of(one: Tensor) -> Tensor:
        return d.transpose(d.reshape(one, (batch, rows, heads, each)), 0, 2, 1, 3)

    query, key, value = (heads_of(linear(d, x, heads * each)) for _ in range(3))
    whole = []
    for one in (key, value):
        before = d.ask("past", (batch, heads, past, each))
        whole.append(d.op("Concat", before, one, dims=(batch, heads, total, each), axis=2))
    key, value = whole
    d.kept.extend(one for one in whole if not isinstance(total, str))
    scores = d.op("MatMul", query, d.transpose(key, 0, 1, 3, 2), dims=(batch, heads, rows, total))
    scores = d.op("Mul", scores, d.scalar(1 / np.sqrt(each)))
    made = d.op("MatMul", d.op("Softmax", scores, axis=-1), value, dims=(batch, heads, rows, each))
    flat = d.reshape(d.transpose(made, 0, 2, 1, 3), (batch, rows, heads * each))
    return d.op("Add", x, linear(d, flat, x.width))


def scattered(d: Drawing, x: Tensor) -> Tensor:
    """Some columns, or rows, are overwritten."""
    if len(x.dims) == 3 and isinstance(x.dims[1], int) and isinstance(x.dims[0], int) and d.chance():
        updates = activated(d, linear(d, d.cut(x, 1, 0, 1), x.width))
        rows = np.array([[[batch, size(x.dims[1]) - 1]] for batch in range(x.dims[0])])
        return d.op("ScatterND", x, d.value(rows), updates)
    chosen = d.choices.permutation(x.width)[: d.number(1, x.width)]
    if all(isinstance(dim, int) for dim in x.dims):
        shape = [*(size(dim) for dim in x.dims[:-1]), len(chosen)]
        indices = d.value(np.broadcast_to(chosen, shape).copy())
        if d.chance():
            return d.op("GatherElements", x, indices, dims=shape, axis=-1)
        updates = activated(d, linear(d, x, len(chosen)))
        return d.op("ScatterElements", x, indices, updates, axis=-1)
    return d.op("Gather", x, d.value(chosen), dims=(*x.dims[:-1], len(chosen)), axis=-1)


def waves(d: Drawing, x: Tensor) -> Tensor:
    """A depthwise convolution over the rows, and gates, as in a Conformer."""
    if len(x.dims) < 3:
        return twice(d, x)
    width = d.number(3, 10)
    value, gate = d.split(d.transpose(linear(d, x, 2 * width), 0, 2, 1), 1, [width, width])
    inner = d.op("Mul", value, d.op("Sigmoid", gate))
    kernel = d.pick(3, 5)
    weight = d.floats(width, 1, kernel, fan_in=kernel)
    made = d.op("Conv", inner, weight, pads=[kernel // 2] * 2, group=width)
    return d.op("Add", x, linear(d, d.transpose(activated(d, made), 0, 2, 1), x.width))


def masked_by_rows(d: Drawing, x: Tensor) -> Tensor:
    """A triangular mask computed from the number of rows, and a weighted sum of the rows before each one."""
    if len(x.dims) < 3:
        return merged(d, x)
    rows = x.dims[1]
    count = d.add("Gather", d.add("Shape", x.name), d.ints(1), axis=0)
    square = d.add("Concat", count, count, axis=0)
    ones = Tensor(d.add("Expand", d.scalar(1.0), square), (rows, rows))
    lower = d.op("Trilu", ones, upper=0)
    mean = d.op("Div", lower, d.op("ReduceSum", lower, d.ints(1), dims=(rows, 1), keepdims=1))
    return d.op("Add", x, d.op("MatMul", mean, x, dims=x.dims))


def places(d: Drawing, batch: str | int, rows: str | int) -> Tensor:
    """``(n, rows, width)`` of word ids and of positions that count only what is not padding."""
    words, width = d.number(9, 30), d.number(5, 16)
    ids = d.ask("ids", (batch, rows), below=words)
    is_word = d.add("Cast", d.add("Not", d.add("Equal", ids.name, d.value(np.int64(0)))), to=TensorProto.INT64)
    number = d.add("Mul", d.add("CumSum", is_word, d.value(np.int64(1))), is_word)
    shown = d.add("Clip", number, d.value(np.int64(0)), d.value(np.int64(9)))
    dims = (batch, rows, width)
    found = Tensor(d.add("Gather", d.floats(10, width), shown, axis=0), dims)
    return d.op("Add", d.op("Gather", d.floats(words, width), ids, dims=dims, axis=0), found)


BLOCKS = (twice, merged, odd_product, odd_product, branch_of_control, cached, scattered, waves, masked_by_rows)
