"""A linear autoencoder across channels, in closed form, whose code is sent in 8 bits.

The encoder projects each place's channels on the directions of largest variance (principal components: I. T. Jolliffe,
Principal Component Analysis, 2nd edition, section 3.2), which of all linear codes of that size leaves the least squared
error; the decoder is its transpose.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from mopar.codecs.channels import channel_axis, rows
from mopar.codecs.codec import Code, Fitted, Samples
from mopar.codecs.mixing import mixed
from mopar.codecs.nodes import Nodes
from mopar.types import TensorSpec

_SHARES = (16, 12, 8, 6, 4, 3, 2)
"""Codes of so many times fewer channels are offered."""
_LEAST_CHANNELS = 16
_LARGEST = 127
_MARGIN = 1.25
"""By which codes may exceed those of the samples before they are clipped."""
_SMALLEST = 1e-30


@dataclass(frozen=True, slots=True)
class Linear:
    """Channels as fewer, uncorrelated ones; the text's number is how many."""

    name: str = "linear"
    least_opset: int = 13

    def offers(self, spec: TensorSpec, samples: Samples) -> Iterable[str]:
        """Codes of a sixteenth to half of the channels, where samples have more places than channels."""
        axis = _axis(spec, samples)
        if spec.dtype != "float32" or axis is None:
            return
        places, channels = rows(samples, axis).shape
        if channels < _LEAST_CHANNELS or places < channels:
            return
        for share in _SHARES:
            yield f"{self.name}:{channels // share}"

    def unfitted(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """Choose the channels' axis."""
        return Fitted(text, len(spec.shape or ()), _axis(spec, samples))

    def fit(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """The projection, by an eigendecomposition of the channels' covariance."""
        found = self.unfitted(text, spec, samples)
        assert found.axis is not None, "it was offered"
        places = rows(samples, found.axis).astype(np.float64)
        mean = places.mean(axis=0)
        centred = places - mean
        _, vectors = np.linalg.eigh(centred.T @ centred / len(places))
        rank = found.parameter
        directions = vectors[:, ::-1][:, :rank]
        directions *= np.sign(directions[np.argmax(np.abs(directions), axis=0), np.arange(rank)])  # else arbitrary
        scale = np.maximum(np.max(np.abs(centred @ directions), axis=0) * _MARGIN / _LARGEST, _SMALLEST)
        arrays = {"mean": mean, "directions": directions, "scale": scale}
        return replace(found, arrays={name: array.astype(np.float32) for name, array in arrays.items()})

    def codes(self, fitted: Fitted, spec: TensorSpec) -> tuple[Code, ...]:
        """The code, with its own channels in place of the tensor's."""
        assert spec.shape is not None
        assert fitted.axis is not None
        shape = (*spec.shape[: fitted.axis], fitted.parameter, *spec.shape[fitted.axis + 1 :])
        return (Code(f"linear{fitted.parameter}", "int8", shape),)

    def encode(self, nodes: Nodes, value: ir.Value, fitted: Fitted) -> Sequence[ir.Value]:
        """A convolution by 1 or a product, and one pass for the codes."""
        directions = fitted.arrays["directions"] / fitted.arrays["scale"]
        bias = -(fitted.arrays["mean"] @ directions)
        code = mixed(nodes, value, directions.T, bias, fitted.axis, fitted.rank)
        # Scales are part of the matrix: the engine's kernel takes one scale much quicker than one for each channel.
        one, zero = nodes.constant(np.array(1, np.float32)), nodes.constant(np.array(0, np.int8))
        return (nodes.add("QuantizeLinear", code, one, zero, dtype=ir.DataType.INT8, rank=fitted.rank),)

    def decode(self, nodes: Nodes, codes: Sequence[ir.Value], fitted: Fitted) -> ir.Value:
        """The same backwards."""
        code = nodes.add("Cast", codes[0], rank=fitted.rank, to=int(ir.DataType.FLOAT))
        back = fitted.arrays["directions"] * fitted.arrays["scale"]
        return mixed(nodes, code, back, fitted.arrays["mean"], fitted.axis, fitted.rank)

    def share_axes(self, fitted: Fitted) -> Collection[int]:
        """All but the channels': each place is encoded by itself, from all of its channels."""
        return [axis for axis in range(fitted.rank) if axis != fitted.axis]

    def of_share(self, fitted: Fitted, axis: int, start: int, stop: int) -> Fitted:  # noqa: ARG002 - same for all places
        """The same."""
        return fitted


def _axis(spec: TensorSpec, samples: Samples) -> int | None:
    """The axis of channels: of a matrix its columns."""
    if spec.shape is not None and len(spec.shape) == 2 and isinstance(spec.shape[1], int):
        return 1
    return channel_axis(spec, samples)


LINEAR = Linear()
