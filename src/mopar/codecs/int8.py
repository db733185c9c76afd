"""A quarter of the bytes: integers of 8 bits, with a range for each channel."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from mopar.codecs.channels import channel_axis, is_moderate, ranges
from mopar.codecs.codec import Code, Fitted, Samples
from mopar.codecs.nodes import Nodes
from mopar.codecs.rounding import restored, rounded
from mopar.types import TensorSpec

_STEPS = 255
_SMALLEST = 1e-30
"""Of a step: a channel that is 0 throughout must not divide by 0."""
_MARGIN = 1.1
"""By which fixed ranges exceed those of the samples."""


@dataclass(frozen=True, slots=True)
class Int8:
    """Elements as ``scale * (code - zero)`` with codes from 0 to 255.

    Attributes:
        name: of the codec.
        fixed: whether ranges are those of the samples, or found in each request and sent with the codes.
    """

    name: str
    fixed: bool
    least_opset: int = 13

    def offers(self, spec: TensorSpec, samples: Samples) -> Iterable[str]:
        """Its name, where the rank is known and no value is near the largest, as those that mask others are."""
        return (self.name,) if spec.dtype == "float32" and spec.shape is not None and is_moderate(samples) else ()

    def unfitted(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """Choose the channels' axis."""
        return Fitted(text, len(spec.shape or ()), channel_axis(spec, samples))

    def fit(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """Choose the channels' axis, and ranges where they are fixed."""
        found = self.unfitted(text, spec, samples)
        if not self.fixed:
            return found
        low, high = ranges(samples, found.axis)
        scale, zero = _scale_and_zero(_MARGIN * low, _MARGIN * high)
        return replace(found, arrays={"scale": scale, "zero": zero})

    def codes(self, fitted: Fitted, spec: TensorSpec) -> tuple[Code, ...]:
        """The codes, with scales and zeros unless they are fixed."""
        code = Code("int8", "uint8", spec.shape)
        if self.fixed:
            return (code,)
        assert spec.shape is not None
        shape = () if fitted.axis is None else (spec.shape[fitted.axis],)
        return code, Code("scale", "float32", shape), Code("zero", "uint8", shape)

    def encode(self, nodes: Nodes, value: ir.Value, fitted: Fitted) -> Sequence[ir.Value]:
        """One pass for the ranges, one for the codes."""
        rank = fitted.rank
        if self.fixed:
            scale, zero = (nodes.constant(fitted.arrays[name]) for name in ("scale", "zero"))
            return (rounded(nodes, value, scale, zero, fitted.axis, rank, ir.DataType.UINT8),)
        axes = [] if fitted.axis is None else [axis for axis in range(rank) if axis != fitted.axis]
        kept = 0 if fitted.axis is None else 1
        nothing = nodes.constant(np.array(0, np.float32))
        low = nodes.add("Min", nodes.reduce("ReduceMin", value, axes, kept), nothing, rank=kept)
        high = nodes.add("Max", nodes.reduce("ReduceMax", value, axes, kept), nothing, rank=kept)
        steps, least = (nodes.constant(np.array(number, np.float32)) for number in (_STEPS, _SMALLEST))
        width = nodes.add("Div", nodes.add("Sub", high, low, rank=kept), steps, rank=kept)
        scale = nodes.add("Max", width, least, rank=kept)
        zero = nodes.add("Round", nodes.add("Neg", nodes.add("Div", low, scale, rank=kept), rank=kept), rank=kept)
        zero = nodes.add("Cast", zero, dtype=ir.DataType.UINT8, rank=kept, to=int(ir.DataType.UINT8))
        return rounded(nodes, value, scale, zero, fitted.axis, rank, ir.DataType.UINT8), scale, zero

    def decode(self, nodes: Nodes, codes: Sequence[ir.Value], fitted: Fitted) -> ir.Value:
        """One pass."""
        if self.fixed:
            scale, zero = (nodes.constant(fitted.arrays[name]) for name in ("scale", "zero"))
        else:
            scale, zero = codes[1:]
        return restored(nodes, codes[0], scale, zero, fitted.axis, fitted.rank)

    def share_axes(self, fitted: Fitted) -> Collection[int]:
        """All: a share has ranges of its own, or where they are fixed, those of its channels."""
        return range(fitted.rank)

    def of_share(self, fitted: Fitted, axis: int, start: int, stop: int) -> Fitted:
        """Fixed ranges of the share's channels."""
        if axis != fitted.axis:
            return fitted
        return replace(fitted, arrays={name: array[start:stop] for name, array in fitted.arrays.items()})


def _scale_and_zero(
    low: NDArray[np.float32], high: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    scale = np.maximum((high - low) / _STEPS, _SMALLEST).astype(np.float32)
    return scale, np.rint(-low / scale).astype(np.uint8)


INT8 = Int8("int8", fixed=False)
INT8_STATIC = Int8("int8-static", fixed=True)
