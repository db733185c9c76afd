"""Constants folded with the engine's own arithmetic."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort

from mopar.graph.engine import ENGINE_ERRORS
from mopar.graph.model import is_weight, name_of, subgraphs_of

# A result may be this large even where its inputs were smaller.
_SMALL_BYTES = 1 << 20
# Results larger than that live in memory, where the weights that they replace could be mapped:
# together they stay below this. The engine folds the rest when it loads a slice.
_LARGE_BUDGET_BYTES = 256 << 20
# Nodes without a fixed answer, and those whose presence tells the engine about quantisation.
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
    """Replace nodes that read nothing but constants by what they compute; whether any was.

    Shapes must have been inferred: the Shape of a tensor of fixed size is a constant too. Nodes that
    make outputs of the model, nodes with bodies, random nodes, and nodes whose result would be over
    1 MiB and larger than what they read stay as they are.
    """
    graph = model.graph
    changed = _fold_shapes(graph)
    nodes = _candidates(graph)
    if not nodes:
        return changed
    inner = {value for node in nodes for value in node.outputs}
    # Only what a node that stays reads is needed.
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
    """The dimensions that a Shape (from opset 15 on with start and end) or Size node asks for."""
    start, end = node.attributes.get("start"), node.attributes.get("end")
    return list(shape)[start.as_int() if start else None : end.as_int() if end else None]


def _candidates(graph: ir.Graph) -> dict[ir.Node, None]:
    """Nodes to fold, in order."""
    found: dict[ir.Node, None] = {}
    known: set[ir.Value] = set()
    budget = _LARGE_BUDGET_BYTES
    for node in graph:
        if not _is_pure(node) or not all(v is None or v in known or _is_plain(v) for v in node.inputs):
            continue
        result = _bytes_of(node.outputs)
        inputs = _bytes_of([value for value in node.inputs if value is not None])
        if result is None or (result > _SMALL_BYTES and (inputs is None or result > inputs or result > budget)):
            continue
        if result > _SMALL_BYTES:
            budget -= result
        found[node] = None
        known.update(node.outputs)
    return found


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
    """Bytes of all values together; None where a size or type is not known or not plain."""
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
    """Run the nodes in the engine; empty where it cannot. Constants go in as inputs, so none is copied."""
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
        session = ort.InferenceSession(ir.to_proto(part).SerializeToString(), options, ["CPUExecutionProvider"])
        return dict(zip(results, session.run(names, feeds), strict=True))
    except ENGINE_ERRORS:
        return {}


def _replace(graph: ir.Graph, value: ir.Value, array: Array) -> None:
    """Let the readers of ``value`` read a stored constant instead; its node dies where nobody is left."""
    name = name_of(value)
    # The producer keeps its output until it is removed as unused, under a name that cannot clash.
    value.name = f"{name}/folded"
    tensor = ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
    constant = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(constant)
    value.replace_all_uses_with(constant)
