"""Extracts consecutive layers as a model."""

from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedFunctionsPass, RemoveUnusedOpsetsPass

from mopar.graph.cuts import boundary_values
from mopar.graph.layers import Layer
from mopar.graph.model import Model, required_spec
from mopar.nodes import is_weight, reads_of


def extract(model: Model, start: int, stop: int, layers: Sequence[Layer]) -> ir.Model:
    """Layers ``start`` to ``stop`` (exclusive) as a valid model with only the weights that they read.

    Inputs and outputs are those of :func:`mopar.graph.boundary`. Weights are shared with
    ``model``; nodes and values are copies.

    Raises:
        ModelError: a value that crosses is not a tensor of a known element type.
    """
    inputs, outputs = boundary_values(model, layers, start, stop)
    for value in (*inputs, *outputs):
        required_spec(value, f"{model.path.name}: layers {start} to {stop} cannot stand alone:")
    graph = model.ir.graph
    nodes = [node for layer in layers[start:stop] for node in model.nodes[layer.start : layer.stop]]
    weights = dict.fromkeys(value for node in nodes for value in reads_of(node, graph) if is_weight(value))
    view = ir.GraphView(
        inputs,
        outputs,
        nodes=nodes,
        initializers=tuple(weights),
        opset_imports=dict(graph.opset_imports),
        name=f"{model.name}.{start}-{stop}",
    )
    functions = [function.clone() for function in model.ir.functions.values()]
    part = ir.Model(view.clone(), ir_version=model.ir.ir_version, producer_name="mopar", functions=functions)
    RemoveUnusedFunctionsPass()(part)  # type: ignore[no-untyped-call]
    RemoveUnusedOpsetsPass()(part)
    return part
