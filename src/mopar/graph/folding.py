"""Constant folding, evaluated by the engine so that results are bit-identical to its own."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort

from mopar.engine.bounded import bounded_memory
from mopar.engine.session import ENGINE_ERRORS
from mopar.machine import available_bytes
from mopar.nodes import is_weight, name_of, subgraphs_of
from mopar.types import ModelError

# Results up to this size are folded even where their inputs were smaller.
_SMALL_BYTES = 1 << 20
# Total size of larger results: they are held in memory, where the weights that they replace could be mapped. The
# engine folds the rest when it loads a slice.
_LARGE_BUDGET_BYTES = 256 << 20
# Multiplications that folding may need in total (a few seconds). The engine folds the rest when it loads a slice; a
# model that would take it minutes is refused.
_MOST_WORK = 1 << 32
_MOST_WORK_AT_LOAD = 1 << 38
# Operators whose work per output element is more than a few reads, which is assumed for all others.
_CONVOLUTIONS = {"Conv", "ConvInteger", "ConvTranspose", "QLinearConv"}
_PRODUCTS = {"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"}
_HEAVY = {
    "AveragePool", "Attention", "CenterCropPad", "Col2Im", "DFT", "DeformConv", "Det", "Einsum", "GRU", "GridSample",
    "GroupNormalization", "LRN", "LSTM", "LpPool", "MaxPool", "MaxRoiPool", "MaxUnpool", "MelWeightMatrix",
    "NonMaxSuppression", "RNN", "RoiAlign", "RotaryEmbedding", "STFT",
}  # fmt: skip
# Random operators, and those from whose presence the engine recognises quantisation.
_KEPT = {
    "Bernoulli",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "Multinomial",
    "QuantizeLinear",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}
_PLAIN = {
    ir.DataType.BOOL,
    ir.DataType.DOUBLE,
    ir.DataType.FLOAT,
    ir.DataType.FLOAT16,
    ir.DataType.INT16,
    ir.DataType.INT32,
    ir.DataType.INT64,
    ir.DataType.INT8,
    ir.DataType.UINT16,
    ir.DataType.UINT32,
    ir.DataType.UINT64,
    ir.DataType.UINT8,
}

Array = npt.NDArray[np.generic]


def fold_constants(model: ir.Model) -> bool:
    """Replace nodes that read only constants by their results; returns whether any was replaced.

    Shapes must have been inferred: the Shape of a tensor of fixed size is a constant too. Nodes that
    make outputs of the model, nodes with subgraphs, random nodes, and nodes whose result would be over
    1 MiB and larger than their inputs are kept; so are nodes that would take seconds, or more memory than allowed.
    """
    graph = model.graph
    changed = _fold_shapes(graph)
    nodes = _candidates(graph)
    if not nodes:
        return changed
    inner = {value for node in nodes for value in node.outputs}
    # Only results that are read by a node that stays are needed.
    results = [v for v in inner if v.name and any(use.node not in nodes for use in v.uses())]
    values = _evaluate(model, list(nodes), sorted(results, key=name_of))
    for node in nodes:
        for value in node.outputs:
            if value in values:
                _replace(graph, value, values[value])
    return changed or bool(values)


def _fold_shapes(graph: ir.Graph) -> bool:
    changed = False
    for node in list(graph):
        source = node.inputs[0] if node.inputs else None
        if node.op_type not in {"Shape", "Size"} or node.domain or source is None or source.shape is None:
            continue
        output = node.outputs[0]
        chosen = _chosen(node, source.shape)
        fixed = [dim for dim in chosen if isinstance(dim, int)]
        if output.is_graph_output() or len(fixed) < len(chosen):
            continue
        dims = np.array(fixed, dtype=np.int64)
        _replace(graph, output, dims if node.op_type == "Shape" else np.array(dims.prod(), dtype=np.int64))
        changed = True
    return changed


def _chosen(node: ir.Node, shape: ir.Shape) -> list[int | ir.SymbolicDim]:
    """The dimensions that a Shape (from opset 15 on with start and end) or Size node returns."""
    start, end = node.attributes.get("start"), node.attributes.get("end")
    return list(shape)[start.as_int() if start else None : end.as_int() if end else None]


def _candidates(graph: ir.Graph) -> dict[ir.Node, None]:
    """The nodes to fold, in order."""
    found: dict[ir.Node, None] = {}
    known: set[ir.Value] = set()
    budget, work = _LARGE_BUDGET_BYTES, _MOST_WORK
    for node in graph:
        if not _is_pure(node) or not all(v is None or v in known or _is_plain(v) for v in node.inputs):
            continue
        result = _bytes_of(node.outputs)
        inputs = _bytes_of([value for value in node.inputs if value is not None])
        if result is None or (result > _SMALL_BYTES and (inputs is None or result > inputs)):
            continue
        needed = work_of(node)
        if result > budget or needed > work:
            continue
        budget -= result
        work -= needed
        found[node] = None
        known.update(node.outputs)
    return found


def check_constants(graph: ir.Graph, what: str) -> None:
    """Check that the constant expressions of a graph can be computed, as the engine does whenever it loads the graph.

    Raises:
        ModelError: a node's result is larger than memory, or all of them together take too long.
    """
    known: set[ir.Value] = set()
    work, room = _MOST_WORK_AT_LOAD, available_bytes()
    for node in graph:
        read = [value for value in node.inputs if value is not None]
        if not read or not all(value in known or is_weight(value) for value in read):
            continue
        known.update(node.outputs)
        work -= work_of(node)
        if (_bytes_of(node.outputs) or 0) > room:
            raise ModelError(f"{what}: node {node.name!r} ({node.op_type}) makes a constant larger than memory")
        if work < 0:
            raise ModelError(f"{what}: the constants that node {node.name!r} ({node.op_type}) makes take too long")


def work_of(node: ir.Node) -> int:
    """A rough upper estimate of a node's multiplications or reads; 0 where shapes are not known."""
    sizes = [_elements(value) for value in (*node.inputs, *node.outputs) if value is not None and value.name]
    outputs = sum(_elements(value) for value in node.outputs if value.name)
    first, second = (*node.inputs[:2], None, None)[:2]
    if node.op_type in _CONVOLUTIONS and second is not None and second.shape:
        each = _elements(second) // max(_fixed(second.shape[0]), 1)
    elif node.op_type in _PRODUCTS and first is not None and first.shape:
        each = max((_fixed(dim) for dim in first.shape), default=1)
    else:
        each = max(sizes, default=0) if node.op_type in _HEAVY else 1
    return outputs * each + sum(sizes)


def _elements(value: ir.Value) -> int:
    return math.prod(_fixed(dim) for dim in value.shape) if value.shape is not None else 0


def _fixed(dim: int | ir.SymbolicDim) -> int:
    return dim if isinstance(dim, int) else 0


def _is_pure(node: ir.Node) -> bool:
    return (
        not node.domain
        and node.op_type not in _KEPT
        and not any(subgraphs_of(attribute) for attribute in node.attributes.values())
        and not any(value.is_graph_output() for value in node.outputs)
        and any(value is not None for value in node.inputs)
    )


def _is_plain(value: ir.Value) -> bool:
    return is_weight(value) and value.const_value is not None and value.const_value.dtype in _PLAIN


def _bytes_of(values: Sequence[ir.Value]) -> int | None:
    """Total size of the values; None where a size or type is not known or not a plain number type."""
    total = 0
    for value in values:
        if not value.name:
            continue
        if value.dtype is None or value.dtype not in _PLAIN or value.shape is None:
            return None
        count = 1
        for dim in value.shape:
            if not isinstance(dim, int):
                return None
            count *= dim
        total += int(count * value.dtype.itemsize)
    return total


def _evaluate(model: ir.Model, nodes: list[ir.Node], results: list[ir.Value]) -> dict[ir.Value, Array]:
    """Run the nodes in the engine; empty where it fails. Constants are passed as inputs, so that none is copied."""
    if not results:
        return {}
    inner = {value for node in nodes for value in node.outputs}
    constants = dict.fromkeys(v for node in nodes for v in node.inputs if v is not None and v not in inner)
    feeds: dict[str, Array] = {}
    for value in constants:
        assert value.const_value is not None
        feeds[name_of(value)] = value.const_value.numpy()
    view = ir.GraphView(tuple(constants), results, nodes=nodes, opset_imports=dict(model.opset_imports), name="fold")
    part = ir.Model(view.clone(), ir_version=model.ir_version)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    names = [name_of(value) for value in results]
    try:
        with bounded_memory():
            session = ort.InferenceSession(ir.to_proto(part).SerializeToString(), options, ["CPUExecutionProvider"])
            return dict(zip(results, session.run(names, feeds), strict=True))
    except ENGINE_ERRORS:
        return {}


def _replace(graph: ir.Graph, value: ir.Value, array: Array) -> None:
    """Replace ``value`` by a stored constant in all its readers, after which its producer may be unused."""
    name = name_of(value)
    # The producer keeps its output, under a name that cannot clash, until it is removed as unused.
    value.name = f"{name}/folded"
    tensor = ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
    constant = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(constant)
    value.replace_all_uses_with(constant)
