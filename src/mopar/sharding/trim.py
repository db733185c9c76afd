"""Trimming a halo off a tensor without leaving the engine's blocked layout.

A residual branch passes over convolutions that consume the halo, so its rows are trimmed before the sum. Slice does
not know the blocked layout (``mopar.engine.blocked``). A depthwise convolution that selects the same rows stays in it
(``benchmarks/blocked_layout.py``).
"""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mopar.engine.blocked import image_shape, is_converted, selecting_kernel, sums_in_blocks
from mopar.sharding.pieces import Span

_MOST_TAPS = 5
"""A longer kernel takes longer than conversion of the layout."""


def is_trimmed_in_layout(source: ir.Value, axis: int, span: Span, before: ir.Node | None) -> bool:
    """Whether a span along an axis should be selected by a convolution, for the node that reads it."""
    shape = image_shape(source)
    if shape is None or before is None or axis not in (2, 3):
        return False
    size = shape[axis - 1]
    if size is None or _taps(size, span) > _MOST_TAPS:
        return False
    return is_converted(source) and sums_in_blocks(before, source)


def trimming_kernel(source: ir.Value, axis: int, span: Span) -> npt.NDArray[np.float32]:
    """The kernel that selects a span: channels x 1 x height x width, with as many groups as channels."""
    shape = image_shape(source)
    assert shape is not None
    channels, size = shape[0], shape[axis - 1]
    assert size is not None
    taps, at = _taps(size, span), span[0]
    return (
        selecting_kernel(channels, (taps, 1), (at, 0)) if axis == 2 else selecting_kernel(channels, (1, taps), (0, at))
    )


def _taps(size: int, span: Span) -> int:
    return size - (span[1] - span[0]) + 1
