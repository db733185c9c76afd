"""Blocks over the last axis: products, activations, residuals, towers, gates, shared weights, a second input."""

import numpy as np

from tests.models.drawn.drawing import Drawing, Tensor, parts_of
from tests.models.drawn.norms import normed

_SMOOTH = ("Tanh", "Sigmoid", "Gelu", "Elu", "Softplus", "HardSwish", "Relu", "LeakyRelu", "Mish")
_OLDER = {"Gelu": "erf", "Mish": "silu"}
_NEWEST = 20


def activated(d: Drawing, x: Tensor) -> Tensor:
    """Some activation, as one node or decomposed as by exporters."""
    how = d.pick(*_SMOOTH, "erf", "silu", "clip", "prelu")
    how = _OLDER[how] if how in _OLDER and d.opset < _NEWEST else how
    if how == "erf":
        inner = d.op("Add", d.op("Erf", d.op("Div", x, d.scalar(np.sqrt(2.0)))), d.scalar(1.0))
        return d.op("Mul", d.op("Mul", x, inner), d.scalar(0.5))
    if how == "silu":
        return d.op("Mul", x, d.op("Sigmoid", x))
    if how == "clip":
        return d.op("Clip", x, d.scalar(-1.0), d.scalar(2.0))
    if how == "prelu":
        return d.op("PRelu", x, d.value(np.full((1,) * len(x.dims), 0.2, np.float32)))
    return d.op(how, x)


def linear(d: Drawing, x: Tensor, width: int) -> Tensor:
    """A product over the last axis, mostly with a bias."""
    dims = (*x.dims[:-1], width)
    if len(x.dims) == 2 and d.chance(0.7):
        if d.chance():
            return d.op("Gemm", x, d.floats(width, x.width, fan_in=x.width), d.floats(width), dims=dims, transB=1)
        return d.op("Gemm", x, d.floats(x.width, width, fan_in=x.width), d.floats(width), dims=dims)
    if d.chance(0.15):
        weight = d.op("Transpose", d.floats(width, x.width, fan_in=x.width), dims=(x.width, width), perm=[1, 0])
        product = d.op("MatMul", x, weight, dims=dims)
    else:
        product = d.op("MatMul", x, d.floats(x.width, width, fan_in=x.width), dims=dims)
    return d.op("Add", product, d.floats(width), dims=dims) if d.chance(0.8) else product


def layer(d: Drawing, x: Tensor) -> Tensor:
    """A product to some width, and an activation."""
    return activated(d, linear(d, x, d.number(3, 28)))


def residual(d: Drawing, x: Tensor) -> Tensor:
    """A sum of ``x`` and what two layers make of it."""
    inner = normed(d, x) if d.chance() else x
    inner = linear(d, activated(d, linear(d, inner, d.number(4, 32))), x.width)
    made = d.op(d.pick("Add", "Add", "Sub"), *((x, inner) if d.chance() else (inner, x)))
    return normed(d, made) if d.chance(0.3) else made


def towers(d: Drawing, x: Tensor) -> Tensor:
    """Branches of ``x`` that are joined again."""
    count = d.number(2, 4)
    how = d.pick("Concat", "Add", "Mul", "Max", "Sum")
    width = d.number(3, 16)
    widths = [d.number(2, 12) if how == "Concat" else width for _ in range(count)]
    branches = []
    for one in widths:
        made = linear(d, x, one)
        made = layer_of(d, made) if d.chance() else activated(d, made)
        branches.append(made)
    if how == "Concat":
        return d.concat(branches, len(x.dims) - 1)
    if how in {"Max", "Sum"}:
        return d.op(how, *branches)
    found = branches[0]
    for branch in branches[1:]:
        found = d.op(how, found, branch)
    return found


def layer_of(d: Drawing, x: Tensor) -> Tensor:
    """A layer that keeps the width."""
    return activated(d, linear(d, x, x.width))


def gated(d: Drawing, x: Tensor) -> Tensor:
    """Half of a product gates the other half."""
    width = d.number(3, 16)
    if d.chance(0.6):
        value, gate = d.split(linear(d, x, 2 * width), len(x.dims) - 1, [width, width])
    else:
        value, gate = linear(d, x, width), linear(d, x, width)
    return d.op("Mul", value, d.op(d.pick("Sigmoid", "Softplus", "Tanh"), gate))


def mixture(d: Drawing, x: Tensor) -> Tensor:
    """Experts, weighed by a softmax."""
    count = d.number(2, 4)
    gates = d.op("Softmax", linear(d, x, count), axis=-1)
    weights = d.split(gates, len(x.dims) - 1, [1] * count)
    width = d.number(3, 12)
    terms = []
    for weight in weights:
        made = activated(d, linear(d, x, width))
        terms.append(d.op("Mul", made, weight))
    return d.op("Sum", *terms)


def shared(d: Drawing, x: Tensor) -> Tensor:
    """The same matrix twice, the second time perhaps transposed."""
    matrix = d.floats(x.width, x.width, fan_in=x.width)
    first = activated(d, d.op("MatMul", x, matrix))
    other = d.op("Transpose", matrix, dims=(x.width, x.width), perm=[1, 0]) if d.chance() else matrix
    made = d.op("MatMul", first, other)
    return d.op("Add", made, x) if d.chance() else activated(d, made)


def second_input(d: Drawing, x: Tensor) -> Tensor:
    """An input that is concatenated, added or multiplied."""
    y = d.ask("side", (*x.dims[:-1], d.number(3, 24)))
    how = d.pick("Concat", "Mul", "Add", "raw")
    if how == "raw":
        return d.concat([x, y], len(x.dims) - 1)
    y = layer(d, y) if d.chance() else y
    if how == "Concat":
        return d.concat([activated(d, linear(d, x, d.number(3, 16))), y], len(x.dims) - 1)
    width = d.number(3, 20)
    return d.op(how, linear(d, x, width), linear(d, y, width))


def uneven(d: Drawing, x: Tensor) -> Tensor:
    """Pieces of unequal width go through separate layers, and are concatenated in another order."""
    count = min(d.number(2, 4), x.width)
    pieces = d.split(x, len(x.dims) - 1, parts_of(d, x.width, count))
    made = [layer(d, piece) if d.chance() else piece for piece in pieces]
    order = d.choices.permutation(count).tolist()
    return d.concat([made[number] for number in order], len(x.dims) - 1)


BLOCKS = (layer, residual, residual, towers, gated, mixture, shared, second_input, uneven)
