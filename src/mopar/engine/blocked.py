"""Which tensors the engine holds in its blocked layout, as far as a graph tells.

ONNX Runtime keeps what convolutions, poolings and sums of these make in blocks of channels (NCHWc). Where a sum reads
one tensor in blocks and one that is plain, the engine converts the first and computes the sum by itself, where it would
otherwise be part of the convolution before it.
"""

import functools

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mopar.nodes import is_weight
from mopar.runtime.cpu import own_cpu_kind

_WIDEST_BLOCK = 16
_AVX2_BLOCK = 8
_IMAGE_RANK = 4
_WINDOWS = {"Conv", "MaxPool", "AveragePool"}
_POINTWISE = {"Add", "BatchNormalization", "Clip", "HardSigmoid", "LeakyRelu", "Mul", "Relu", "Sigmoid", "Sum", "Tanh"}
_SUMS = {"Add", "Mul", "Sum"}
_MOST_NODES = 8
"""How far back a tensor is followed to the convolution whose layout it has."""


@functools.cache
def own_block() -> int:
    """Channels of a block on this CPU (MlasNchwcGetBlockSize): 8 with AVX2, 16 with AVX-512 and NEON."""
    features = own_cpu_kind().split("-")
    return _AVX2_BLOCK if features[0] == "x86_64" and "avx512" not in features else _WIDEST_BLOCK


def image_shape(value: ir.Value) -> tuple[int, int | None, int | None] | None:
    """Channels, height and width of a tensor that can be in blocks on any CPU; None for others."""
    if value.shape is None or len(value.shape) != _IMAGE_RANK or value.dtype != ir.DataType.FLOAT:
        return None
    _, channels, height, width = (dim if isinstance(dim, int) else None for dim in value.shape)
    return (channels, height, width) if channels and channels % _WIDEST_BLOCK == 0 else None


def sums_in_blocks(node: ir.Node, value: ir.Value) -> bool:
    """Whether a node adds to ``value``, or multiplies it by, what a convolution or a pooling makes."""
    others = [one for one in node.inputs if one is not None and one is not value and not one.is_graph_input()]
    return node.op_type in _SUMS and any(_is_blocked(one) for one in others)


def is_converted(value: ir.Value) -> bool:
    """Whether the engine has the tensor in blocks, or converts it for a convolution anyway."""
    return _is_blocked(value) or any(use.node.op_type == "Conv" for use in value.uses())


def selecting_kernel(channels: int, taps: tuple[int, int], at: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The kernel of a depthwise convolution that selects what lies under one of its taps, exactly where all are finite.

    Args:
        channels: of the tensor; as many groups.
        taps: height and width of the kernel.
        at: the tap that is 1; all others are 0.
    """
    kernel = np.zeros((channels, 1, *taps), np.float32)
    kernel[:, :, at[0], at[1]] = 1.0
    return kernel


def _is_blocked(value: ir.Value) -> bool:
    for _ in range(_MOST_NODES):
        node = value.producer()
        if node is None:
            return False
        if node.op_type in _WINDOWS:
            return True
        if node.op_type not in _POINTWISE:
            return False
        value = next(one for one in node.inputs if one is not None and not is_weight(one))
    return False
