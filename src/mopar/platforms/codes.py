"""Codes of tensors in the gateway's process: made, held to what was asked for, and decoded."""

import functools
import importlib.util
from binascii import crc32
from dataclasses import dataclass, replace
from pathlib import Path

from mopar.buffers import address_of, fresh_bytes
from mopar.bundle.call_shapes import Shape, tensor_bytes
from mopar.platforms.outputs import MalformedError, checked_data, checked_shape
from mopar.runtime.lossless import LEAST_BYTES, LibraryError, Lossless, why_no_code
from mopar.runtime.variants import VARIANTS, DamagedError
from mopar.types import PlatformError, TensorSpec, TensorValue, dtype_of_name

_PACKAGE = "blosc2"
_HEAD_BYTES = 32


@dataclass(frozen=True, slots=True)
class EncodedValue:
    """A tensor whose data are encoded; otherwise as ``TensorValue``.

    Attributes:
        text: of the codec, one of ``mopar.runtime.lossless.VARIANTS``.
        nbytes: of the tensor.
        crc32: checksum of the code.
        data: the code.
    """

    name: str
    dtype: str
    shape: Shape
    text: str
    nbytes: int
    crc32: int
    data: memoryview

    def members(self) -> dict[str, object]:
        """What a message says of the code, beside the tensor's name, type and shape."""
        return {"encoding": self.text, "decoded_byte_size": self.nbytes, "crc32": self.crc32}


def codec_library() -> Path:
    """Path of ``libblosc2`` in the installed blosc2 package, which is not imported.

    Raises:
        PlatformError: there is none.
    """
    found = importlib.util.find_spec(_PACKAGE)
    home = next(iter(found.submodule_search_locations or ()), None) if found is not None else None
    path = None if home is None else Path(home) / "lib" / "libblosc2.so"
    if path is None or not path.is_file():
        raise PlatformError(
            "tensors are sent encoded with Blosc2, whose library is not here: pip install mopar[lossless]"
        )
    return path


@functools.cache
def lossless() -> Lossless:
    """What encodes and decodes in this process. Raises PlatformError where the library is not there, or no such one."""
    try:
        return Lossless(str(codec_library()))
    except LibraryError as cause:
        raise PlatformError(str(cause)) from cause


def encoded(value: TensorValue, text: str, most_bytes: int) -> EncodedValue | None:
    """A tensor's code of at most ``most_bytes``, which are allocated; None where it is to be sent as it is."""
    data = memoryview(value.data).cast("B")
    if len(data) < LEAST_BYTES:
        return None
    place = fresh_bytes(most_bytes)
    addresses = address_of(data), len(data), address_of(place)
    made = lossless().encode(text, _item_bytes(value.dtype), *addresses, most_bytes)
    if not made:
        return None
    code = place[:made]
    return EncodedValue(value.name, value.dtype, value.shape, text, len(data), crc32(code), code)


def decoded(value: EncodedValue) -> TensorValue:
    """A tensor of its code. Raises MalformedError where it is damaged."""
    check_intact(value)
    place = fresh_bytes(value.nbytes)
    item_bytes, size = _item_bytes(value.dtype), len(value.data)
    try:
        lossless().decode(value.text, item_bytes, address_of(value.data), size, address_of(place), value.nbytes)
    except DamagedError as cause:
        raise MalformedError(f"output {value.name}: {cause}") from cause
    return checked_data(TensorValue(value.name, value.dtype, value.shape, place))


def check_intact(value: EncodedValue) -> None:
    """Raise MalformedError where a code is not the one that its checksum is of."""
    if crc32(value.data) != value.crc32:
        raise MalformedError(f"output {value.name}: its code is damaged: its checksum is another")


def checked_code(
    value: EncodedValue, datatype: str, spec: TensorSpec, shape: Shape | None, text: str | None
) -> EncodedValue:
    """An encoded output, held to its graph and to what was asked for; of the code, the header is looked at.

    Args:
        value: as the answer describes it.
        datatype: the same.
        spec: of the graph's output.
        shape: that it has to have; None where it does not follow from the inputs' shapes.
        text: of the codec that it was asked with; None where it was to be sent as it is.

    Raises:
        MalformedError: it does not fit.
    """
    what = f"output {spec.name}"
    got = checked_shape(datatype, value.shape, spec, shape)
    if value.text != text or text not in VARIANTS:
        raise MalformedError(f"{what} is encoded with {value.text[:40]}, and was asked for with {text or 'nothing'}")
    if value.nbytes != tensor_bytes(spec.dtype, got):
        raise MalformedError(
            f"{what} has {value.nbytes} decoded bytes, its shape needs {tensor_bytes(spec.dtype, got)}"
        )
    if len(value.data) >= value.nbytes:
        raise MalformedError(f"{what}: its code has {len(value.data)} bytes, and it {value.nbytes}")
    why = why_no_code(text, _item_bytes(spec.dtype), bytes(value.data[:_HEAD_BYTES]), len(value.data), value.nbytes)
    if why:
        raise MalformedError(f"{what}: {why}")
    return replace(value, shape=got)


def _item_bytes(dtype: str) -> int:
    """Bytes of an element, by which they are shuffled; of strings, and of elements that share bytes, 1."""
    return dtype_of_name(dtype).nbytes(1) or 1
