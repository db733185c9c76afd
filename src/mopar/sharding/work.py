"""Estimated operations of nodes, by which a layer's time is divided among its nodes."""

from math import prod

import onnx_ir as ir

from mopar.sharding.rule import Shape, shape_of

_CONVOLUTIONS = {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv"}
_PRODUCTS = {"MatMul", "Gemm", "MatMulInteger", "QLinearMatMul", "MatMulNBits"}
_RECURRENT = {"LSTM", "GRU", "RNN"}
_UNKNOWN = 1
"""Assumed size of a dimension that is not known before the request: it is the same for all nodes of a layer."""


def operations(node: ir.Node) -> float:
    """Approximate number of operations of a node: multiplications of products and convolutions, else elements."""
    made = max((elements(shape_of(output)) for output in node.outputs), default=0.0)
    if node.op_type in _CONVOLUTIONS:
        weight = shape_of(node.inputs[1])
        return made * elements(None if weight is None else weight[1:])
    if node.op_type in _PRODUCTS:
        left = shape_of(node.inputs[0])
        transposed = node.attributes.get("transA")
        inner = None if not left else left[0 if transposed is not None and transposed.as_int() else -1]
        return made * (inner or _UNKNOWN)
    if node.op_type in _RECURRENT:
        recurrence = shape_of(node.inputs[2])
        return made * elements(None if recurrence is None else recurrence[-1:])
    return max(made, *(elements(shape_of(value)) for value in node.inputs if value is not None), 1.0)


def elements(shape: Shape | None) -> float:
    """Number of elements of a shape, with an assumed size for unknown dimensions."""
    return float(prod(_UNKNOWN if dim is None else dim for dim in shape or ()))
