"""Matrix products, attention and recurrent layers."""

from mopar.engine.work.common import Work, filled, log2p, product, shape_of, traffic
from mopar.engine.work.facts import NodeFacts

_TILE_COLUMNS, _TILE_ROWS = 16, 12
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def matmul_work(node: NodeFacts) -> Work:
    """A MatMul or Gemm: ``gemv`` for one row times a weight, ``gemm`` for more, ``batched`` without a weight."""
    batch, m, n, k = product_sizes(node)
    flops = 2.0 * batch * m * n * k
    read, written, weights = traffic(node)
    second = node.given(1)
    weighted = second is not None and second.weight
    rows = batch * m if weighted and len(shape_of(second)) == 2 else m
    family = ("gemv" if rows == 1 else "gemm") if weighted else "batched"
    activation = node.attributes.get("activation")
    features = (
        log2p(rows),
        log2p(n),
        log2p(k),
        log2p(batch if family == "batched" else 1),
        filled(n, _TILE_COLUMNS),
        filled(rows, _TILE_ROWS),
        float(node.number("transA", 0)),
        float(node.number("transB", 0)),
        float(activation is not None),
        log2p(weights),
        log2p(flops / max(read + written + weights, 1.0)),
    )
    return Work(family, node.operator, flops, read, written, weights, features)


def product_sizes(node: NodeFacts) -> tuple[int, int, int, int]:
    """Of a matrix product: how many of them, rows, columns, and the length that is summed over."""
    first, second, out = shape_of(node.given(0)), shape_of(node.given(1)), shape_of(node.outputs[0])
    if len(first) < 2 or len(second) < 2:
        k = second[0] if second else 1
        return 1, max(product(out), 1), 1, k
    k = first[-2] if node.number("transA", 0) else first[-1]
    if len(out) < 2:  # a vector's product, which the engine made one of matrices; the output kept its shape
        return 1, 1, max(product(out), 1), k
    return product(out[:-2]), out[-2], out[-1], k


def attention_work(node: NodeFacts) -> Work:
    """Fused attention: projections (where their weights are its own), scores, and the weighted sum."""
    taken, out = shape_of(node.given(0)), shape_of(node.outputs[0])
    batch, length, width = (*taken, 1, 1, 1)[:3]
    weight = node.given(1)
    projected = shape_of(weight)[-1] if node.operator == "Attention" and weight is not None else 0
    heads = max(node.number("num_heads", 1), 1)
    flops = 2.0 * batch * length * (width * projected + 2 * length * (out[-1] if out else width))
    features = (log2p(length), log2p(width), log2p(projected), log2p(heads), log2p(batch))
    return Work("attention", node.operator, flops, *traffic(node), features)


def recurrent_work(node: NodeFacts) -> Work:
    """An LSTM, GRU or RNN: per step and direction, all gates from the input and from the state."""
    taken, weight, state = shape_of(node.given(0)), shape_of(node.given(1)), shape_of(node.given(2))
    steps, batch, width = (*taken, 1, 1, 1)[:3]
    directions = weight[0] if weight else 1
    hidden = state[-1] if state else node.number("hidden_size", 1)
    gates = _GATES[node.operator]
    flops = 2.0 * steps * batch * directions * gates * hidden * (width + hidden)
    read, written, weights = traffic(node)
    features = (
        log2p(steps),
        log2p(batch),
        log2p(width),
        log2p(hidden),
        float(directions),
        float(gates),
        log2p(weights),
    )
    return Work("recurrent", node.operator, flops, read, written, weights, features)
