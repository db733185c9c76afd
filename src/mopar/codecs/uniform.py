"""Integers with one step for all of a tensor's channels, which messages compress.

What is left of the bits after an entropy coder is least, for a mean squared error, where all values are rounded to
multiples of the same step (H. Gish and J. N. Pierce, Asymptotically Efficient Quantizing, IEEE Transactions on
Information Theory 14, 1968): channels of small values then have few different codes, and take few bits, where a range
for each channel spends as many on all.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from mopar.codecs.channels import channel_axis, is_moderate, ranges
from mopar.codecs.codec import Code, Fitted, Samples
from mopar.codecs.nodes import Nodes
from mopar.codecs.rounding import restored, rounded
from mopar.types import TensorSpec

_STEPS = (45, 30, 20, 15, 10, 5, 2)
"""Of the values' root mean square, in percent."""
_LARGEST = 127
_MARGIN = 1.1
"""By which codes may exceed those of the samples before they are clipped."""
_SMALLEST = 1e-30


@dataclass(frozen=True, slots=True)
class Uniform:
    """Elements as ``step * code`` with codes of 8 bits; the text's number is the step, in percent of the values' RMS.

    Channels with values beyond 127 steps have a larger step of their own.
    """

    name: str = "uniform"
    least_opset: int = 13
    compressed_by: tuple[str, ...] = ("blosc2:zstd-shuffle", "blosc2:zstd-bitshuffle")

    def offers(self, spec: TensorSpec, samples: Samples) -> Iterable[str]:
        """All steps, where the rank is known and no value is near the largest."""
        if spec.dtype == "float32" and spec.shape is not None and is_moderate(samples):
            yield from (f"{self.name}:{step}" for step in _STEPS)

    def unfitted(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """Choose the channels' axis."""
        return Fitted(text, len(spec.shape or ()), channel_axis(spec, samples))

    def fit(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """The step, and larger ones where channels need them."""
        found = self.unfitted(text, spec, samples)
        count = max(sum(sample.size for sample in samples), 1)
        mean_square = sum(float(np.sum(np.square(sample, dtype=np.float64))) for sample in samples) / count
        step = max(found.parameter / 100.0 * mean_square**0.5, _SMALLEST)
        low, high = ranges(samples, found.axis)
        scale = np.maximum(_MARGIN / _LARGEST * np.maximum(-low, high), step).astype(np.float32)
        if np.all(scale == np.float32(step)):  # one is quicker than one for each channel
            found, scale = replace(found, axis=None), np.array(step, np.float32)
        return replace(found, arrays={"scale": scale})

    def codes(self, fitted: Fitted, spec: TensorSpec) -> tuple[Code, ...]:  # noqa: ARG002 - the same for all steps
        """The codes."""
        return (Code("uniform", "int8", spec.shape),)

    def encode(self, nodes: Nodes, value: ir.Value, fitted: Fitted) -> Sequence[ir.Value]:
        """One pass."""
        scale, zero = _constants(nodes, fitted)
        return (rounded(nodes, value, scale, zero, fitted.axis, fitted.rank, ir.DataType.INT8),)

    def decode(self, nodes: Nodes, codes: Sequence[ir.Value], fitted: Fitted) -> ir.Value:
        """One pass."""
        scale, zero = _constants(nodes, fitted)
        return restored(nodes, codes[0], scale, zero, fitted.axis, fitted.rank)

    def share_axes(self, fitted: Fitted) -> Collection[int]:
        """All: steps are those of the share's channels."""
        return range(fitted.rank)

    def of_share(self, fitted: Fitted, axis: int, start: int, stop: int) -> Fitted:
        """The steps of the share's channels."""
        if axis != fitted.axis:
            return fitted
        return replace(fitted, arrays={"scale": fitted.arrays["scale"][start:stop]})


def _constants(nodes: Nodes, fitted: Fitted) -> tuple[ir.Value, ir.Value]:
    scale = fitted.arrays["scale"]
    return nodes.constant(scale), nodes.constant(np.zeros(scale.shape, np.int8))


UNIFORM = Uniform()
