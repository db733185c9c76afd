"""Tensors: name, element type, shape and value."""

from collections.abc import Iterable
from dataclasses import dataclass

from mopar.segments import Place

Dim = int | str | None
"""A dimension: fixed, symbolic (the same name is the same size), or unknown."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor's declaration: what is known before a request.

    Attributes:
        name: its name in the ONNX graph.
        dtype: a name of ``mopar.types.DTYPES``.
        shape: its dimensions; None where even the rank is unknown.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...] | None


def element_count(shape: Iterable[int]) -> int:
    """Number of elements of a tensor of this shape (1 for a scalar)."""
    count = 1
    for dim in shape:
        count *= dim
    return count


def format_shape(shape: Iterable[Dim] | None) -> str:
    """A shape as the command line writes it: ``1x3x224x224``, ``batchx?``; ``scalar`` for rank 0."""
    if shape is None:
        return "unknown rank"
    return "x".join("?" if dim is None else str(dim) for dim in shape) or "scalar"


@dataclass(frozen=True, slots=True)
class TensorValue:
    """A tensor's value as it is transferred.

    Attributes:
        name: name of the graph's input or output.
        dtype: a name of ``mopar.types.DTYPES``.
        shape: its dimensions.
        data: elements in C order, little endian; strings as the Open Inference Protocol's BYTES: for
            each element its length (4 bytes, little endian), then its bytes. Empty where there is a place.
        place: of the elements in memory that the client shares; None where they are ``data``.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes | bytearray | memoryview
    place: Place | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return memoryview(self.data).nbytes if self.place is None else self.place.nbytes
