"""Turns constants of all kinds into initializers of the main graph."""

import numpy as np
import onnx_ir as ir

from mopar.nodes import name_of

# Small constants of a subgraph stay in it; larger ones count as weights and are moved out.
_WEIGHT_BYTES = 1024


def lift_constants(model: ir.Model) -> None:
    """Turn Constant nodes into initializers, and move the weights of subgraphs to the main graph."""
    graph = model.graph
    taken = _names(model)
    for body in list(model.graphs()):
        for node in list(body):
            _lift_node(graph, body, node, taken)
        if body is not graph:
            for name, value in list(body.initializers.items()):
                _lift_initializer(graph, body, name, value, taken)


def _names(model: ir.Model) -> set[str]:
    found: set[str] = set()
    for graph in model.graphs():
        found.update(name_of(value) for value in graph.inputs)
        found.update(graph.initializers)
        found.update(value.name for node in graph for value in node.outputs if value.name)
    return found


def _lift_node(graph: ir.Graph, body: ir.Graph, node: ir.Node, taken: set[str]) -> None:
    if node.op_type != "Constant" or node.domain or node.outputs[0].is_graph_output():
        return
    output = node.outputs[0]
    tensor = tensor_of_constant(node)
    if tensor is None or (body is not graph and tensor.nbytes < _WEIGHT_BYTES):
        return
    name = name_of(output)
    if body is not graph:
        name = _free_name(name, taken)
    # The tensor is often named after its attribute; the initializer must have the value's name.
    assert isinstance(tensor.shape, ir.Shape)
    value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    output.replace_all_uses_with(value)
    body.remove(node, safe=True)
    graph.register_initializer(value)


def _lift_initializer(graph: ir.Graph, body: ir.Graph, name: str, value: ir.Value, taken: set[str]) -> None:
    tensor = value.const_value
    if value.is_graph_input() or value.is_graph_output() or tensor is None or tensor.nbytes < _WEIGHT_BYTES:
        return
    body.initializers.pop(name)
    value.name = _free_name(name, taken)
    graph.register_initializer(value)


def _free_name(name: str, taken: set[str]) -> str:
    """An unused name derived from ``name``; it is added to ``taken``."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    taken.add(free)
    return free


def tensor_of_constant(node: ir.Node) -> ir.TensorProtocol | None:
    """The tensor of a Constant node; None where its value is not a tensor."""
    if len(node.attributes) != 1:
        return None
    name, attribute = next(iter(node.attributes.items()))
    if attribute.is_ref():
        return None
    if name == "value":
        return attribute.as_tensor()
    if name in {"value_string", "value_strings"}:
        texts = [attribute.as_string()] if name == "value_string" else list(attribute.as_strings())
        shape = ir.Shape([] if name == "value_string" else [len(texts)])
        return ir.StringTensor([text.encode() for text in texts], shape=shape)
    dtypes = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    return ir.Tensor(np.array(attribute.value, dtype=dtypes[name])) if name in dtypes else None
