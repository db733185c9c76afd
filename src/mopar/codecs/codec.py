"""What a codec is: the Protocol that each implements, and the data that pass between its parts."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from mopar.codecs.nodes import Nodes
from mopar.types import Dim, TensorSpec, dtype_of_name, element_count

Samples = Sequence[NDArray[np.float32]]
"""Values of one tensor in several requests."""


@dataclass(frozen=True, slots=True)
class Code:
    """One of the tensors that an encoded tensor is sent as.

    Attributes:
        suffix: added to the tensor's name.
        dtype: a name of ``mopar.types.DTYPES``.
        shape: its dimensions; None where even the rank is unknown.
    """

    suffix: str
    dtype: str
    shape: tuple[Dim, ...] | None

    def spec(self, tensor: str) -> TensorSpec:
        """Its declaration, for the tensor of that name."""
        return TensorSpec(f"{tensor}/{self.suffix}", self.dtype, self.shape)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A codec for one tensor.

    Attributes:
        text: such as ``int8`` or ``linear:64``: as ``Plan.codecs`` has it, without what compresses its codes.
        rank: of the tensor.
        axis: of the tensor's channels; None where all elements are treated alike.
        arrays: what was fitted to samples, by name.
    """

    text: str
    rank: int
    axis: int | None = None
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def parameter(self) -> int:
        """The number after the codec's name."""
        return int(self.text.partition(":")[2])

    def any_size(self, tensor: str) -> TensorSpec:
        """A declaration of the tensor, of any sizes."""
        return TensorSpec(tensor, "float32", (None,) * self.rank)


def code_bytes(codes: Sequence[Code]) -> int:
    """Bytes of codes of fixed sizes."""
    total = 0
    for code in codes:
        sizes = [dim for dim in code.shape or () if isinstance(dim, int)]
        assert code.shape is not None
        assert len(sizes) == len(code.shape)
        total += dtype_of_name(code.dtype).nbytes(element_count(sizes))
    return total


class GraphCodec(Protocol):
    """A lossy codec of float32 tensors, as nodes of graphs."""

    @property
    def name(self) -> str:
        """In ``Plan.codecs``, before a colon."""

    @property
    def least_opset(self) -> int:
        """The first version of the standard operators that has all that it needs."""

    def offers(self, spec: TensorSpec, samples: Samples) -> Iterable[str]:
        """The codec's texts for a tensor, from those that send the fewest bytes on; none where it does not apply."""

    def unfitted(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """What ``codes`` needs to know of a tensor: ``fit`` without what takes time."""

    def fit(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """Fit it to samples; the same samples give the same result.

        Args:
            text: one that ``offers`` returned.
            spec: of the tensor.
            samples: of the tensor.
        """

    def codes(self, fitted: Fitted, spec: TensorSpec) -> tuple[Code, ...]:
        """The tensors that are sent."""

    def encode(self, nodes: Nodes, value: ir.Value, fitted: Fitted) -> Sequence[ir.Value]:
        """Add the encoder's nodes; returns the code tensors in the order of ``codes``."""

    def decode(self, nodes: Nodes, codes: Sequence[ir.Value], fitted: Fitted) -> ir.Value:
        """Add the decoder's nodes; returns the tensor."""

    def share_axes(self, fitted: Fitted) -> Collection[int]:
        """Axes along which shares of the tensor can be encoded by themselves, with what was fitted to all of it.

        Arrays are not looked at: ``unfitted`` has the same axes.
        """

    def of_share(self, fitted: Fitted, axis: int, start: int, stop: int) -> Fitted:
        """What was fitted, for elements ``start`` to ``stop`` (exclusive) along one of ``share_axes``."""


@runtime_checkable
class CompressedCodec(GraphCodec, Protocol):
    """A codec of one code that is worth little before messages compress it: it is offered with what does so alone."""

    @property
    def compressed_by(self) -> Sequence[str]:
        """Texts of codecs of messages, those of ``mopar.runtime.variants.VARIANTS`` that may suit it."""


@runtime_checkable
class TrainedCodec(GraphCodec, Protocol):
    """A codec whose fitting takes so long that it is offered only where training is asked for."""

    def untrained(self, text: str, spec: TensorSpec, samples: Samples) -> Fitted:
        """What training starts from: nodes that take as long, and decode to something."""

    def require(self) -> None:
        """Raises UsageError where a package that trains it is missing."""
