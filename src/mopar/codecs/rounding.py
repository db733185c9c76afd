"""Nodes that round to integers of 8 bits and back, as ``scale * (code - zero)``."""

import numpy as np
import onnx_ir as ir

from mopar.codecs.nodes import Nodes


def rounded(
    nodes: Nodes, value: ir.Value, scale: ir.Value, zero: ir.Value, axis: int | None, rank: int, kind: ir.DataType
) -> ir.Value:
    """One pass for the codes.

    Args:
        nodes: get the encoder's.
        value: a tensor of ``rank``.
        scale: of each channel, or of all elements.
        zero: the code of 0, as many of them.
        axis: of the channels; None where all elements have one scale.
        rank: of the tensor.
        kind: of the codes.
    """
    if axis is None or axis < rank - 1:
        return nodes.add("QuantizeLinear", value, scale, zero, dtype=kind, rank=rank, axis=axis)
    # Along the last axis the engine's kernel looks up a scale for each element: forty times slower than this.
    scaled = nodes.add("Div", value, scale, rank=rank)
    moved = nodes.add("Add", scaled, nodes.add("Cast", zero, rank=1, to=int(ir.DataType.FLOAT)), rank=rank)
    one, nothing = nodes.constant(np.array(1, np.float32)), nodes.constant(np.array(0, kind.numpy()))
    return nodes.add("QuantizeLinear", moved, one, nothing, dtype=kind, rank=rank)


def restored(nodes: Nodes, code: ir.Value, scale: ir.Value, zero: ir.Value, axis: int | None, rank: int) -> ir.Value:
    """One pass back; what follows it moves nothing. The same arguments."""
    found = nodes.add("DequantizeLinear", code, scale, zero, rank=rank, axis=axis)
    if axis is None:
        return found
    # Else the engine would replace it, with a pool or a product that reads it, by a kernel that takes one scale.
    shape = nodes.add("Shape", code, dtype=ir.DataType.INT64, rank=1)
    return nodes.add("Reshape", found, shape, rank=rank)
