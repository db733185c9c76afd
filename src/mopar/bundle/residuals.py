"""Residual branches that begin at a slice's input are read in the engine's blocked layout.

Where a model is cut before a residual block, the block's input is plain: the engine converts it for the convolution,
but not for the sum at the block's end, which it then computes by itself on what it has converted back
(``mopar.engine.blocked``). A depthwise convolution by 1 in front of the sum keeps all of the block in the layout
(``benchmarks/blocked_layout.py``).
"""

import onnx_ir as ir

from mopar.engine.blocked import image_shape, is_converted, selecting_kernel, sums_in_blocks


def read_residuals_in_blocks(model: ir.Model) -> None:
    """Rewrite a graph in place, so that sums read converted inputs through a convolution by 1."""
    graph = model.graph
    for value in list(graph.inputs):
        shape = image_shape(value)
        if shape is None or not is_converted(value):
            continue
        sums = [use for use in value.uses() if use.node.graph is graph and sums_in_blocks(use.node, value)]
        if sums:
            first = next(node for node in graph if any(node is use.node for use in sums))
            converted = _converted(graph, value, shape[0], first)
            for use in sums:
                use.node.replace_input_with(use.idx, converted)


def _converted(graph: ir.Graph, value: ir.Value, channels: int, before: ir.Node) -> ir.Value:
    """The value through a convolution by 1."""
    name = f"{value.name}/blocks"
    kernel = ir.tensor(selecting_kernel(channels, (1, 1), (0, 0)), name=f"{name}/kernel")
    weight = ir.Value(
        name=kernel.name, type=ir.TensorType(kernel.dtype), shape=ir.Shape(kernel.shape.numpy()), const_value=kernel
    )
    graph.register_initializer(weight)
    node = ir.node("Conv", [value, weight], {"group": channels, "kernel_shape": (1, 1)}, name=name)
    made = node.outputs[0]
    made.name, made.type, made.shape = name, value.type, value.shape
    graph.insert_before(before, node)
    return made
