"""Embedding tables, gathered by rows."""

import numpy as np

from tests.models.drawn.dense import activated, linear
from tests.models.drawn.drawing import Dim, Drawing, Tensor, size


def tokens(d: Drawing, batch: Dim, rows: Dim) -> Tensor:
    """``(n, rows, width)`` from word ids, and position ids where the number of rows is known."""
    words, width = d.number(9, 40), d.number(5, 24)
    ids = d.ask("ids", (batch, rows), below=words)
    found = d.op("Gather", d.floats(words, width), ids, dims=(batch, rows, width), axis=0)
    if isinstance(rows, int) and d.chance(0.7):
        places = d.floats(1, rows, width) if d.chance() else d.floats(rows, width)
        return d.op("Add", found, places)
    return found


def features(d: Drawing, batch: Dim) -> Tensor:
    """``(n, width)`` from a few tables, each gathered by a column of the ids, and dense features."""
    count, width, words = d.number(2, 5), d.number(3, 10), d.number(7, 30)
    ids = d.ask("ids", (batch, count), below=words)
    vectors = []
    for number in range(count):
        table = d.floats(words, width)
        column = d.op("Gather", ids, d.value(np.int64(number)), dims=(batch,), axis=1)
        vectors.append(d.op("Gather", table, column, dims=(batch, width), axis=0))
    dense = activated(d, linear(d, d.ask("dense", (batch, d.number(3, 12))), width))
    if d.chance():
        return d.concat([dense, *vectors], 1)
    return _interactions(d, [dense, *vectors], batch, width)


def _interactions(d: Drawing, vectors: list[Tensor], batch: Dim, width: int) -> Tensor:
    """Products of every pair, beside the dense vector."""
    rows = [d.op("Unsqueeze", one, d.ints(1), dims=(batch, 1, width)) for one in vectors]
    stacked = d.concat(rows, 1)
    count = len(vectors)
    products = d.op("MatMul", stacked, d.transpose(stacked, 0, 2, 1), dims=(batch, count, count))
    flat = d.reshape(products, (batch, count * count))
    chosen = np.flatnonzero(np.tril(np.ones((count, count)), -1))
    pairs = d.op("Gather", flat, d.value(chosen), dims=(batch, len(chosen)), axis=1)
    return d.concat([vectors[0], pairs], 1)


def tied(d: Drawing, batch: Dim, rows: Dim) -> Tensor:
    """A table for embedding and, transposed, for decoding."""
    words, width = d.number(9, 30), d.number(5, 16)
    table = d.floats(words, width, fan_in=width)
    ids = d.ask("ids", (batch, rows), below=words)
    x = d.op("Gather", table, ids, dims=(batch, rows, width), axis=0)
    x = d.op("Add", x, activated(d, linear(d, x, width)))
    back = d.op("Transpose", table, dims=(width, words), perm=[1, 0])
    return d.op("MatMul", x, back, dims=(batch, rows, words))


def bag(d: Drawing, batch: Dim) -> Tensor:
    """``(n, width)``: the mean of several rows of a table."""
    words, width, count = d.number(9, 40), d.number(5, 20), d.number(2, 6)
    ids = d.ask("ids", (batch, count), below=words)
    found = d.op("Gather", d.floats(words, width), ids, dims=(batch, count, width), axis=0)
    return d.reduced(d.pick("ReduceMean", "ReduceSum"), found, [1], (batch, width), 0)


def words_of(x: Tensor) -> int:
    """Some columns of a decoded table."""
    return size(x.dims[-1])
