"""Attention over ``(n, rows, width)``: heads, masks, rotary embeddings, cross-attention."""

import numpy as np

from tests.models.drawn.dense import activated, linear, residual
from tests.models.drawn.drawing import Drawing, Tensor, size
from tests.models.drawn.norms import normed


def attention(d: Drawing, x: Tensor) -> Tensor:
    """Self-attention, with a residual sum."""
    heads, each = d.number(1, 5), 2 * d.number(1, 4)
    inner = normed(d, x) if d.chance() else x
    query, key, value = _projected(d, inner, heads, each)
    if d.chance(0.35):
        query, key = rotary(d, query), rotary(d, key)
    return _finished(d, x, _attended(d, query, key, value, x))


def shared_keys(d: Drawing, x: Tensor) -> Tensor:
    """Several heads of queries for one of keys and values."""
    groups, times, each = d.number(1, 2), d.number(2, 3), 2 * d.number(1, 3)
    query = _heads(d, linear(d, x, groups * times * each), groups * times, each)
    key, value = (_heads(d, linear(d, x, groups * each), groups, each) for _ in range(2))
    if d.chance(0.4):
        query, key = rotary(d, query), rotary(d, key)
    if groups > 1:
        key, value = (_repeated(d, one, times) for one in (key, value))
    return _finished(d, x, _attended(d, query, key, value, x))


def cross(d: Drawing, x: Tensor) -> Tensor:
    """Attention to another sequence, which is encoded first."""
    other = d.ask("memory", (x.dims[0], d.number(3, 9), d.number(4, 16)))
    memory = residual(d, attention(d, other) if d.chance(0.3) else other)
    heads, each = d.number(1, 4), 2 * d.number(1, 3)
    query = _heads(d, linear(d, x, heads * each), heads, each)
    key, value = (_heads(d, linear(d, memory, heads * each), heads, each) for _ in range(2))
    return _finished(d, x, _attended(d, query, key, value, None))


def transformer(d: Drawing, x: Tensor) -> Tensor:
    """Attention and a perceptron."""
    return residual(d, attention(d, x))


def windows(d: Drawing, x: Tensor) -> Tensor:
    """Attention within windows of rows, which may be rolled first."""
    rows = x.dims[1]
    sizes = [number for number in range(2, 7) if isinstance(rows, int) and rows % number == 0 and rows > number]
    if not sizes or isinstance(x.dims[0], str):
        return transformer(d, x)
    window, count = d.pick(*sizes), size(x.dims[0])
    by = d.number(1, window - 1)
    moved = _rolled(d, x, by) if d.chance() else x
    apart = d.reshape(moved, (count * (size(rows) // window), window, x.width))
    made = attention(d, apart)
    back = d.reshape(made, x.dims)
    return d.op("Add", x, _rolled(d, back, size(rows) - by) if d.chance() else back)


def _rolled(d: Drawing, x: Tensor, by: int) -> Tensor:
    rows = size(x.dims[1])
    return d.concat([d.cut(x, 1, by, rows), d.cut(x, 1, 0, by)], 1)


def _projected(d: Drawing, x: Tensor, heads: int, each: int) -> tuple[Tensor, Tensor, Tensor]:
    how = d.pick("apart", "split", "stacked")
    if how == "apart":
        query, key, value = (_heads(d, linear(d, x, heads * each), heads, each) for _ in range(3))
        return query, key, value
    fused = linear(d, x, 3 * heads * each)
    if how == "split":
        query, key, value = (_heads(d, one, heads, each) for one in d.split(fused, 2, [heads * each] * 3))
        return query, key, value
    stacked = d.transpose(d.reshape(fused, (*x.dims[:2], 3, heads, each)), 2, 0, 3, 1, 4)
    dims = stacked.dims[1:]
    if d.chance():
        query, key, value = (
            d.op("Gather", stacked, d.value(np.int64(number)), dims=dims, axis=0) for number in range(3)
        )
        return query, key, value
    pieces = d.split(stacked, 0, [1, 1, 1])
    query, key, value = (d.op("Squeeze", one, d.ints(0), dims=dims) for one in pieces)
    return query, key, value


def _heads(d: Drawing, x: Tensor, heads: int, each: int) -> Tensor:
    return d.transpose(d.reshape(x, (*x.dims[:2], heads, each)), 0, 2, 1, 3)


def _repeated(d: Drawing, x: Tensor, times: int) -> Tensor:
    """Repeat every head several times."""
    batch, heads, rows, each = x.dims
    if isinstance(batch, str) or isinstance(rows, str):
        numbers = np.repeat(np.arange(size(heads)), times)
        return d.op("Gather", x, d.value(numbers), dims=(batch, size(heads) * times, rows, each), axis=1)
    apart = d.op("Unsqueeze", x, d.ints(2), dims=(batch, heads, 1, rows, each))
    dims = (batch, heads, times, rows, each)
    wide = d.op("Expand", apart, d.ints(*(size(dim) for dim in dims)), dims=dims)
    return d.reshape(wide, (batch, size(heads) * times, rows, each))


def _attended(d: Drawing, query: Tensor, key: Tensor, value: Tensor, masked: Tensor | None) -> Tensor:
    """``(n, heads, rows, width of a head)``; with a mask for the side that ``masked`` names."""
    dims = (*query.dims[:3], key.dims[2])
    scale = d.scalar(1 / np.sqrt(query.width))
    if d.chance(0.3):
        query = d.op("Mul", query, scale)
        scale = ""
    if query.dims[1] == key.dims[1] and d.chance(0.2):
        scores = d.op("Einsum", query, key, dims=dims, equation="bhqd,bhkd->bhqk")
    else:
        scores = d.op("MatMul", query, d.transpose(key, 0, 1, 3, 2), dims=dims)
    scores = d.op("Mul", scores, scale) if scale else scores
    if masked is not None:
        scores = _masked(d, scores, masked)
    weights = d.op("Softmax", scores, axis=-1)
    return d.op("MatMul", weights, value, dims=(*query.dims[:3], value.width))


def _masked(d: Drawing, scores: Tensor, x: Tensor) -> Tensor:
    how = d.pick("none", "none", "input", "causal", "bias")
    rows = scores.dims[-1]
    if how == "input" and x.dims[0] == scores.dims[0]:
        mask = d.ask("mask", (x.dims[0], rows), below=1)
        wide = d.op("Unsqueeze", mask, d.ints(1, 2), dims=(x.dims[0], 1, 1, rows))
        away = d.op("Mul", d.op("Sub", d.scalar(1.0), wide, dims=wide.dims), d.scalar(-30.0))
        return d.op("Add", scores, away)
    if how == "causal" and isinstance(rows, int):
        triangle = np.where(np.tril(np.ones((rows, rows), np.bool_)), 0, -30).astype(np.float32)
        return d.op("Add", scores, d.value(triangle[None, None]))
    if how == "bias" and isinstance(rows, int):
        return d.op("Add", scores, d.floats(size(scores.dims[1]), rows, rows))
    return scores


def _finished(d: Drawing, x: Tensor, made: Tensor) -> Tensor:
    """Heads concatenated, a product, and the residual sum."""
    heads, each = size(made.dims[1]), made.width
    flat = d.reshape(d.transpose(made, 0, 2, 1, 3), (*x.dims[:2], heads * each))
    out = linear(d, flat, x.width)
    return d.op("Add", x, out) if d.chance(0.8) else activated(d, out)


def rotary(d: Drawing, x: Tensor) -> Tensor:
    """Of ``(n, heads, rows, width)``: by halves or by pairs, of the whole width or of its first elements."""
    width = x.width
    turned = 2 * d.number(1, width // 2) if d.chance(0.4) else width
    rest = None
    if turned < width:
        x, rest = d.split(x, 3, [turned, width - turned])
    elif d.chance(0.2):  # as for heads of which only some elements are rotated
        x, rest = d.ops("Split", [x, d.ints(width, 0)], [x.dims, (*x.dims[:3], 0)], axis=3)
    by_halves = d.chance()
    cosine, sine = _angles(d, x, by_halves)
    made = d.op("Add", d.op("Mul", x, cosine), d.op("Mul", _quarter_turn(d, x, by_halves), sine))
    return made if rest is None else d.concat([made, rest], 3)


def _angles(d: Drawing, x: Tensor, by_halves: bool) -> tuple[str, str]:
    """Tables of ``(rows, width)``, stored or computed from the number of rows."""
    rows, half = x.dims[2], x.width // 2
    rates = np.power(10.0, -np.arange(half) / half).astype(np.float32)
    rates = np.concatenate([rates, rates]) if by_halves else np.repeat(rates, 2)
    if isinstance(rows, int):
        angles = np.arange(rows, dtype=np.float32)[:, None] * rates
        return d.value(np.cos(angles)), d.value(np.sin(angles))
    axis = d.add("Squeeze", d.add("Gather", d.add("Shape", x.name), d.ints(2), axis=0), d.ints(0))
    places = d.add("Cast", d.add("Range", d.value(np.int64(0)), axis, d.value(np.int64(1))), to=1)
    angles_now = d.add("Mul", d.add("Unsqueeze", places, d.ints(1)), d.value(rates[None]))
    return d.add("Cos", angles_now), d.add("Sin", angles_now)


def _quarter_turn(d: Drawing, x: Tensor, by_halves: bool) -> Tensor:
    half = x.width // 2
    if by_halves:
        first, second = d.split(x, 3, [half, half])
        return d.concat([d.op("Neg", second), first], 3)
    if d.chance():
        even, odd = (d.cut(x, 3, start, x.width, 2) for start in (0, 1))
        wide = [d.op("Unsqueeze", one, d.ints(4), dims=(*one.dims, 1)) for one in (d.op("Neg", odd), even)]
        return d.reshape(d.concat(wide, 4), x.dims)
    pairs = d.reshape(x, (*x.dims[:3], half, 2))
    even, odd = d.split(pairs, 4, [1, 1])
    return d.reshape(d.concat([d.op("Neg", odd), even], 4), x.dims)


BLOCKS = (attention, attention, transformer, shared_keys, cross, windows)
