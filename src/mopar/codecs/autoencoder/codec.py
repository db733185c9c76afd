"""A small autoencoder across channels, trained on the model's own tensors, whose code is sent in 8 bits.

It begins as the linear one and adds to each of its ends a hidden layer, which in a decoder of pictures sees a place's
neighbours.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from mopar.codecs.autoencoder.state import exported, initial
from mopar.codecs.codec import Code, Fitted, Samples
from mopar.codecs.linear import LINEAR
from mopar.codecs.mixing import are_first, mixed
from mopar.codecs.nodes import Nodes
from mopar.types import TensorSpec, UsageError

_MOST_RANK = 5


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """Channels as fewer ones; the text's number is how many."""

    name: str = "autoencoder"
    least_opset: int = 13

    def offers(self, spec: TensorSpec, samples: Samples) -> Iterable[str]:
        """Codes of as many channels as linear ones are offered with."""
        if spec.shape is None or len(spec.shape) > _MOST_RANK:
            return
        for text in LINEAR.offers(spec, samples):
            yield f"{self.name}:{text.partition(':')[2]}"

    def unfitted(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """Choose the channels' axis."""
        return replace(LINEAR.unfitted(text, spec, samples), text=text)

    def untrained(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """Decodes to what the linear autoencoder does."""
        return replace(self.unfitted(text, spec, samples), arrays=exported(initial(text, spec, samples)))

    def require(self) -> None:
        """Raises UsageError where PyTorch cannot be imported."""
        try:
            import torch  # noqa: F401
        except ImportError as cause:
            raise UsageError(
                f'codec {self.name}: PyTorch cannot be imported ({cause}); install it with: pip install "mopar[torch]"'
            ) from cause

    def fit(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """Train it. Raises UsageError where PyTorch is missing."""
        self.require()
        from mopar.codecs.autoencoder.training import trained

        found = self.unfitted(text, spec, samples)
        assert found.axis is not None, "it was offered"
        return replace(found, arrays=exported(trained(initial(text, spec, samples), samples, found.axis)))

    def codes(self, fitted: Fitted, spec: TensorSpec) -> tuple[Code, ...]:
        """The code, with its own channels in place of the tensor's."""
        (code,) = LINEAR.codes(fitted, spec)
        return (replace(code, suffix=f"{self.name}{fitted.parameter}"),)

    def encode(self, nodes: Nodes, value: ir.Value, fitted: Fitted) -> Sequence[ir.Value]:
        """Two layers beside one, and one pass for the codes."""
        one, zero = nodes.constant(np.array(1, np.float32)), nodes.constant(np.array(0, np.int8))
        code = _through(nodes, "encoder", value, fitted)
        return (nodes.add("QuantizeLinear", code, one, zero, dtype=ir.DataType.INT8, rank=fitted.rank),)

    def decode(self, nodes: Nodes, codes: Sequence[ir.Value], fitted: Fitted) -> ir.Value:
        """The same backwards."""
        code = nodes.add("Cast", codes[0], rank=fitted.rank, to=int(ir.DataType.FLOAT))
        return _through(nodes, "decoder", code, fitted)

    def share_axes(self, fitted: Fitted) -> Collection[int]:
        """Those of a linear one; of pictures that of requests alone, since the decoder sees a place's neighbours."""
        return [0] if are_first(fitted.axis, fitted.rank) else LINEAR.share_axes(fitted)

    def of_share(self, fitted: Fitted, axis: int, start: int, stop: int) -> Fitted:  # noqa: ARG002 - same for all places
        """The same."""
        return fitted


def _through(nodes: Nodes, end: str, value: ir.Value, fitted: Fitted) -> ir.Value:
    arrays, axis, rank = fitted.arrays, fitted.axis, fitted.rank
    direct = mixed(nodes, value, arrays[f"{end}.direct"], arrays[f"{end}.direct.bias"], axis, rank)
    hidden = mixed(nodes, value, arrays[f"{end}.hidden"], arrays[f"{end}.hidden.bias"], axis, rank)
    out = mixed(nodes, nodes.add("Relu", hidden, rank=rank), arrays[f"{end}.out"], None, axis, rank)
    return nodes.add("Add", direct, out, rank=rank)


AUTOENCODER = Autoencoder()
