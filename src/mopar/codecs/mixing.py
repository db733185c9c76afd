"""Layers of codecs: what multiplies the channels of each place by a matrix."""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from mopar.codecs.nodes import Nodes

CHANNELS_FIRST = 1


def are_first(axis: int | None, rank: int) -> bool:
    """Whether places come after channels, as in pictures."""
    return axis == CHANNELS_FIRST and rank > 2


def mixed(
    nodes: Nodes, value: ir.Value, weight: NDArray[Any], bias: NDArray[Any] | None, axis: int | None, rank: int
) -> ir.Value:
    """Each place's channels multiplied by a matrix, plus a bias.

    Args:
        nodes: get the layer's.
        value: a tensor of ``rank``.
        weight: output channels x input channels; where channels come first, the sizes of a kernel may follow, which
            are odd: it reads 0 beyond the edges.
        bias: of each output channel.
        axis: of the channels: 1 or the last.
        rank: of the tensor.
    """
    if not are_first(axis, rank):
        product = nodes.add("MatMul", value, nodes.constant(np.ascontiguousarray(weight.T)), rank=rank)
        return product if bias is None else nodes.add("Add", product, nodes.constant(bias), rank=rank)
    kernel = weight.reshape(*weight.shape[:2], *(weight.shape[2:] or [1] * (rank - 2)))
    pads = [size // 2 for size in kernel.shape[2:]] * 2
    constants = [nodes.constant(array) for array in (np.ascontiguousarray(kernel), bias) if array is not None]
    return nodes.add("Conv", value, *constants, rank=rank, pads=pads)
