"""An eighth of the bytes: integers of 4 bits, two in a byte, with a range for each channel found in each request."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from mopar.codecs.channels import channel_axis, is_moderate
from mopar.codecs.codec import Code, Fitted, Samples
from mopar.codecs.nodes import Nodes
from mopar.types import Dim, TensorSpec

_STEPS = 15
_SMALLEST = 1e-30
_WHOLE = ir.DataType.INT64


@dataclass(frozen=True, slots=True)
class Int4:
    """Elements as ``scale * (code - zero)`` with codes from 0 to 15.

    The first half of the elements are the lower halves of the bytes, the second the upper ones; the tensor's shape is
    sent along.
    """

    name: str = "int4"
    least_opset: int = 14

    def offers(self, spec: TensorSpec, samples: Samples) -> Iterable[str]:
        """Its name, where the rank is known and no value is near the largest."""
        return (self.name,) if spec.dtype == "float32" and spec.shape is not None and is_moderate(samples) else ()

    def unfitted(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """Choose the channels' axis."""
        return Fitted(text, len(spec.shape or ()), channel_axis(spec, samples))

    fit = unfitted

    def codes(self, fitted: Fitted, spec: TensorSpec) -> tuple[Code, ...]:
        """The bytes, scales and zeros of the tensor's rank, and its shape."""
        assert spec.shape is not None
        kept = tuple(dim if axis == fitted.axis else 1 for axis, dim in enumerate(spec.shape))
        return (
            Code("int4", "uint8", (_bytes(spec.shape),)),
            Code("scale", "float32", kept),
            Code("zero", "float32", kept),
            Code("shape", "int64", (fitted.rank,)),
        )

    def encode(self, nodes: Nodes, value: ir.Value, fitted: Fitted) -> Sequence[ir.Value]:
        """Ranges, codes as floats, and pairs of them in a byte."""
        rank = fitted.rank
        axes = [axis for axis in range(rank) if axis != fitted.axis]
        nothing, steps, least = (nodes.constant(np.array(number, np.float32)) for number in (0, _STEPS, _SMALLEST))
        low = nodes.add("Min", nodes.reduce("ReduceMin", value, axes, rank, keep=True), nothing, rank=rank)
        high = nodes.add("Max", nodes.reduce("ReduceMax", value, axes, rank, keep=True), nothing, rank=rank)
        width = nodes.add("Div", nodes.add("Sub", high, low, rank=rank), steps, rank=rank)
        scale = nodes.add("Max", width, least, rank=rank)
        zero = nodes.add("Round", nodes.add("Neg", nodes.add("Div", low, scale, rank=rank), rank=rank), rank=rank)
        moved = nodes.add("Add", nodes.add("Div", value, scale, rank=rank), zero, rank=rank)
        code = nodes.add("Round", nodes.add("Clip", moved, nothing, steps, rank=rank), rank=rank)
        flat = nodes.add("Reshape", code, nodes.constant(np.array([-1])), rank=1)
        one, two, first = (nodes.constant(np.array([number])) for number in (1, 2, 0))
        count = nodes.add("Shape", flat, dtype=_WHOLE, rank=1)
        half = nodes.add("Div", nodes.add("Add", count, one, dtype=_WHOLE, rank=1), two, dtype=_WHOLE, rank=1)
        both = nodes.add("Mul", half, two, dtype=_WHOLE, rank=1)
        filled = nodes.add("Concat", flat, nodes.constant(np.zeros(1, np.float32)), rank=1, axis=0)
        lower = nodes.add("Slice", filled, first, half, rank=1)
        upper = nodes.add("Slice", filled, half, both, rank=1)
        raised = nodes.add("Mul", upper, nodes.constant(np.array(_STEPS + 1, np.float32)), rank=1)
        joined = nodes.add("Add", lower, raised, rank=1)
        packed = nodes.add("Cast", joined, dtype=ir.DataType.UINT8, rank=1, to=int(ir.DataType.UINT8))
        return packed, scale, zero, nodes.add("Shape", value, dtype=_WHOLE, rank=1)

    def decode(self, nodes: Nodes, codes: Sequence[ir.Value], fitted: Fitted) -> ir.Value:
        """The halves of the bytes one after the other, in the tensor's shape."""
        packed, scale, zero, shape = codes
        rank, radix = fitted.rank, nodes.constant(np.array(_STEPS + 1, np.float32))
        value = nodes.add("Cast", packed, rank=1, to=int(ir.DataType.FLOAT))
        upper = nodes.add("Floor", nodes.add("Div", value, radix, rank=1), rank=1)
        lower = nodes.add("Sub", value, nodes.add("Mul", upper, radix, rank=1), rank=1)
        filled = nodes.add("Concat", lower, upper, rank=1, axis=0)
        count = nodes.add("ReduceProd", shape, dtype=_WHOLE, rank=1, keepdims=1)
        flat = nodes.add("Slice", filled, nodes.constant(np.array([0])), count, rank=1)
        code = nodes.add("Reshape", flat, shape, rank=rank, allowzero=1)
        return nodes.add("Mul", nodes.add("Sub", code, zero, rank=rank), scale, rank=rank)

    def share_axes(self, fitted: Fitted) -> Collection[int]:
        """All: a share has ranges of its own."""
        return range(fitted.rank)

    def of_share(self, fitted: Fitted, axis: int, start: int, stop: int) -> Fitted:  # noqa: ARG002 - nothing is fitted
        """The same."""
        return fitted


def _bytes(shape: Sequence[Dim]) -> int | None:
    count = 1
    for dim in shape:
        if not isinstance(dim, int):
            return None
        count *= dim
    return (count + 1) // 2


INT4 = Int4()
