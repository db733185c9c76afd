"""Operators whose time is that of moving bytes: elementwise, norms, reductions, pooling, movement, and the rest."""

import math

from mopar.engine.work.common import Work, log2p, product, shape_of, traffic
from mopar.engine.work.facts import NodeFacts

_OTHER_FLOPS_PER_BYTE = 2.0


def elementwise_work(node: NodeFacts) -> Work:
    """One operation per element; broadcasting by kind: none, of a scalar, of rows, or another."""
    out = shape_of(node.outputs[0])
    elements = product(out)
    shapes = [shape_of(tensor) for tensor in node.inputs if tensor is not None]
    kinds = [_broadcast(shape, out) for shape in shapes[:3]]
    features = (
        log2p(elements),
        float(max(kinds, default=0)),
        float(len([shape for shape in shapes if product(shape) == elements])),
        log2p(out[-1] if out else 1),
        log2p(_run(shapes, out)),
        node.outputs[0].bits / 32,
    )
    return Work("elementwise", node.operator, float(elements), *traffic(node), features)


def _broadcast(shape: tuple[int, ...], out: tuple[int, ...]) -> int:
    """0: of the output's size; 1: a scalar; 2: rows repeated; 3: another pattern."""
    if product(shape) == product(out):
        return 0
    if product(shape) == 1:
        return 1
    trimmed = shape[next((i for i, dim in enumerate(shape) if dim != 1), 0) :]
    return 2 if trimmed == out[len(out) - len(trimmed) :] else 3


def _run(shapes: list[tuple[int, ...]], out: tuple[int, ...]) -> int:
    """Elements at the end over which no input changes the way in which it is repeated: the inner loop."""
    inner = product(out)
    for shape in shapes:
        padded = (1,) * (len(out) - len(shape)) + shape
        whole = [mine == theirs for mine, theirs in zip(padded, out, strict=False)]
        length, same = 1, whole[-1] if whole else True
        for kept, dim in zip(reversed(whole), reversed(out), strict=False):
            if kept != same and dim != 1:
                break
            length *= dim
        inner = min(inner, max(length, 1))
    return inner


def norm_work(node: NodeFacts) -> Work:
    """A norm or softmax over rows: several passes over each."""
    out = shape_of(node.outputs[0])
    elements = product(out)
    row = _row_length(node, out)
    features = (log2p(elements), log2p(row), log2p(elements / max(row, 1)), float(len(node.inputs)))
    return Work("norm", node.operator, 8.0 * elements, *traffic(node), features)


def _row_length(node: NodeFacts, out: tuple[int, ...]) -> int:
    if node.operator == "InstanceNormalization":
        return product(out[2:])
    if node.operator in {"Softmax", "LogSoftmax"} and out:
        axis = node.number("axis", -1) % len(out)
        # Over an inner axis the engine transposes first: which a row of one axis alone shows.
        return out[axis] if axis == len(out) - 1 else max(out[axis] // 4, 1)
    return out[-1] if out else 1


def reduce_work(node: NodeFacts) -> Work:
    """A reduction: elements in and out, and whether the innermost axis is reduced."""
    taken, out = shape_of(node.given(0)), shape_of(node.outputs[0])
    ratio = product(taken) / max(product(out), 1)
    inner_kept = bool(taken and out and taken[-1] == out[-1] and taken[-1] > 1)
    features = (log2p(product(taken)), log2p(ratio), float(inner_kept), log2p(taken[-1] if taken else 1))
    return Work("reduce", node.operator, float(product(taken)), *traffic(node), features)


def pool_work(node: NodeFacts) -> Work:
    """A pooling: a window per output element; a global one's window is the whole picture."""
    taken, out = shape_of(node.given(0)), shape_of(node.outputs[0])
    window = product(node.ints("kernel_shape", taken[2:]))
    elements = product(out)
    blocked = float(node.domain != "")
    width, channels = (out[-1] if out else 1), (out[1] if len(out) > 1 else 1)
    features = (log2p(elements), log2p(window), blocked, log2p(width), log2p(channels))
    return Work("pool", node.operator, float(elements * window), *traffic(node), features)


def movement_work(node: NodeFacts) -> Work:
    """Bytes from one place to another; runs of neighbours move quicker than single elements."""
    taken, out = node.given(0), shape_of(node.outputs[0])
    _, written, _ = traffic(node)
    written = max(written, 1.0)
    run = contiguous_elements(node)
    features = (
        log2p(written),
        log2p(run),
        log2p(product(out) / max(run, 1)),
        float(len(node.outputs)),
        float(len(node.inputs)),
        node.outputs[0].bits / 32,
        log2p(min(shape_of(taken)[-1:] or (1,))),
    )
    return Work("movement", node.operator, 0.0, written, written, 0.0, features)


def contiguous_elements(node: NodeFacts) -> int:
    """Elements that move together, at the least."""
    taken, out = shape_of(node.given(0)), shape_of(node.outputs[0])
    if node.operator == "Transpose":
        order = node.ints("perm", tuple(reversed(range(len(taken)))))
        kept = 0
        while kept < len(order) and order[len(order) - 1 - kept] == len(order) - 1 - kept:
            kept += 1
        return product(taken[len(taken) - kept :])
    if node.operator in {"Concat", "Split"}:
        rank = max(len(taken), 1)
        parts = [shape_of(tensor) for tensor in (node.outputs if node.operator == "Split" else node.inputs) if tensor]
        axis = node.number("axis", 0) % rank
        return min((product(shape[axis:]) for shape in parts), default=1)
    same = 0
    while same < min(len(taken), len(out)) and taken[-1 - same] == out[-1 - same]:
        same += 1
    inner = product(out[len(out) - same :])
    return inner * (out[len(out) - same - 1] if same < len(out) else 1)


def gather_work(node: NodeFacts) -> Work:
    """Rows picked from a table: only what is picked is read."""
    table, out = node.given(0), node.outputs[0]
    shape = shape_of(table)
    axis = node.number("axis", 0) % max(len(shape), 1)
    row = product(shape[axis + 1 :]) if node.operator == "Gather" else 1
    stored = table is not None and table.weight
    indices = product(shape_of(node.given(1)))
    features = (log2p(out.elements), log2p(row), log2p(indices), float(stored), log2p(table.bytes if table else 0.0))
    weights = out.bytes if stored else 0.0
    return Work("gather", node.operator, 0.0, 0.0 if stored else out.bytes, out.bytes, weights, features)


def view_work(node: NodeFacts) -> Work:
    """Another look at the same buffer: the engine copies nothing, or what little a shape takes."""
    out = node.outputs[0]
    return Work("view", node.operator, 0.0, 0.0, min(out.bytes, 64.0), 0.0, (log2p(out.bytes),))


def other_work(node: NodeFacts) -> Work:
    """An operator without a rule: every byte moved, and a few operations for each."""
    read, written, weights = traffic(node)
    flops = _OTHER_FLOPS_PER_BYTE * (read + written + weights) * max(1, math.ceil(math.log2(1 + node.inner)))
    return Work("other", node.operator, flops, read, written, weights, (log2p(read + written + weights),))
