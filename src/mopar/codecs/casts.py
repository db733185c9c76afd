"""Half of the bytes: floats of 16 bits."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from mopar.codecs.codec import Code, Fitted, Samples
from mopar.codecs.nodes import Nodes
from mopar.types import TensorSpec


@dataclass(frozen=True, slots=True)
class Cast:
    """A tensor as another element type.

    Attributes:
        name: of the codec.
        dtype: that is sent.
        code: its number in ONNX.
        largest: value that is offered it; larger ones than were seen must fit too.
        least_opset: that casts to it.
    """

    name: str
    dtype: str
    code: ir.DataType
    largest: float
    least_opset: int

    def offers(self, spec: TensorSpec, samples: Samples) -> Iterable[str]:
        """Its name, unless values are too large, or the rank is not known."""
        fits = all(not sample.size or float(np.max(np.abs(sample))) <= self.largest for sample in samples)
        return (self.name,) if spec.dtype == "float32" and spec.shape is not None and fits else ()

    def unfitted(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:  # noqa: ARG002 - nothing is fitted
        """Nothing depends on samples."""
        return Fitted(text, len(spec.shape or ()))

    fit = unfitted

    def codes(self, fitted: Fitted, spec: TensorSpec) -> tuple[Code, ...]:  # noqa: ARG002 - as above
        """The tensor in the other type."""
        return (Code(self.name, self.dtype, spec.shape),)

    def encode(self, nodes: Nodes, value: ir.Value, fitted: Fitted) -> Sequence[ir.Value]:  # noqa: ARG002 - as above
        """A cast."""
        return (nodes.add("Cast", value, dtype=self.code, to=int(self.code)),)

    def decode(self, nodes: Nodes, codes: Sequence[ir.Value], fitted: Fitted) -> ir.Value:  # noqa: ARG002 - as above
        """A cast back."""
        return nodes.add("Cast", codes[0], to=int(ir.DataType.FLOAT))

    def share_axes(self, fitted: Fitted) -> Collection[int]:
        """All: elements are cast one by one."""
        return range(fitted.rank)

    def of_share(self, fitted: Fitted, axis: int, start: int, stop: int) -> Fitted:  # noqa: ARG002 - as above
        """The same."""
        return fitted


FP16 = Cast("fp16", "float16", ir.DataType.FLOAT16, 6e4 / 4, least_opset=6)
BF16 = Cast("bf16", "bfloat16", ir.DataType.BFLOAT16, float("inf"), least_opset=13)
