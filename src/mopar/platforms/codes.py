"""Codes of tensors in the gateway, which passes them on as functions made them.

It encodes what it sends first, a request's inputs, and decodes what leaves the functions: the model's outputs.
"""

import asyncio
import ctypes
import functools
import importlib.util
from binascii import crc32
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from mopar.buffers import fresh_bytes
from mopar.bundle.call_plans import Made
from mopar.bundle.call_shapes import Shape, region_value, tensor_bytes
from mopar.bundle.sent_codecs import sent_codecs
from mopar.platforms.outputs import MalformedError, checked_data, checked_shape
from mopar.runtime.lossless import LEAST_BYTES, LibraryError, Lossless, why_no_code
from mopar.runtime.variants import VARIANTS, DamagedError
from mopar.types import REQUEST, Manifest, PlatformError, Region, TensorSpec, TensorValue, dtype_of_name

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_PACKAGE = "blosc2"
_HEAD_BYTES = 32
_INLINE_BYTES = 64 << 10
"""More are encoded and decoded in a thread beside the event loop."""


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


class PlanCodes:
    """Which tensors of a plan are sent encoded.

    Args:
        codecs: tensor -> text of its codec.
        outputs: tensors that leave the functions.

    Raises:
        PlatformError: the gateway has to encode or decode some, and lacks the library.
    """

    def __init__(
        self, codecs: Mapping[str, str], outputs: frozenset[Made], inputs: frozenset[str] = frozenset()
    ) -> None:
        self.codecs = codecs
        self.outputs = outputs
        if codecs.keys() & {*inputs, *(name for name, _ in outputs)}:
            lossless()

    @classmethod
    def of(cls, manifest: Manifest) -> "PlanCodes":
        """Of a bundle's plan."""
        inputs = frozenset(spec.name for spec in manifest.inputs)
        return cls(sent_codecs(manifest.plan), frozenset(manifest.plan.outputs), inputs)


NO_CODES = PlanCodes({}, frozenset())


class RequestCodes:
    """The codes of one request's tensors.

    Args:
        plan: says which tensors have one.
        claim: counts what is kept here.
    """

    def __init__(self, plan: PlanCodes, claim: Callable[[int], None]) -> None:
        self._plan = plan
        self._claim = claim
        self._codes: dict[Made, EncodedValue] = {}
        self._decoded: dict[Made, TensorValue] = {}
        self._left_raw: set[Made] = set()
        self._working = asyncio.Lock()

    def text(self, tensor: str) -> str | None:
        """The codec of a tensor; None where it is sent as it is."""
        return self._plan.codecs.get(tensor)

    async def keep(self, made: Made, value: EncodedValue) -> TensorValue | None:
        """Keep what a function has encoded; returns it decoded where it leaves the functions.

        Raises:
            MalformedError: it is damaged.
        """
        self._codes[made] = value
        return await self.decoded(made) if made in self._plan.outputs else None

    async def code(self, made: Made, values: Mapping[Made, TensorValue]) -> EncodedValue | None:
        """The code of a tensor; None where it is sent as it is."""
        text = self._plan.codecs.get(made[0])
        if text is None:
            return None
        if made[1] == REQUEST and made not in self._codes:
            async with self._working:
                if made not in self._codes and made not in self._left_raw:
                    found = await _beside(values[made].nbytes, encoded, values[made], text, self._claim)
                    if found is None:
                        self._left_raw.add(made)
                    else:
                        self._codes[made] = found
        return self._codes.get(made)

    async def sent(
        self, spec: TensorSpec, made: Made, region: Region | None, values: Mapping[Made, TensorValue]
    ) -> TensorValue | EncodedValue:
        """What a call reads under the name that its graph has for it: the code where there is one, else a view.

        Args:
            spec: of the graph's input.
            made: the tensor.
            region: that is read of it; None for all of it, since of a code no region can be sent.
            values: the request's tensors that are here as they are.
        """
        code = await self.code(made, values) if region is None else None
        if code is not None:
            return replace(code, name=spec.name)
        value = values[made] if made in values else await self.decoded(made)
        return region_value(TensorValue(spec.name, spec.dtype, value.shape, value.data), region)

    async def decoded(self, made: Made) -> TensorValue:
        """A tensor of which the code is here. Raises MalformedError where it is damaged."""
        async with self._working:
            if made not in self._decoded:
                value = self._codes[made]
                self._claim(value.nbytes)
                self._decoded[made] = await _beside(value.nbytes, decoded, value)
        return self._decoded[made]


def encoded(value: TensorValue, text: str, claim: Callable[[int], None]) -> EncodedValue | None:
    """A tensor's code; None where it is to be sent as it is."""
    data = memoryview(value.data).cast("B")
    if len(data) < LEAST_BYTES:
        return None
    source = data if not data.readonly else memoryview(bytearray(data))
    place = fresh_bytes(len(data))
    made = lossless().encode(text, _item_bytes(value.dtype), _address(source), len(data), _address(place))
    if not made:
        return None
    claim(made)
    code = place[:made]
    return EncodedValue(value.name, value.dtype, value.shape, text, len(data), crc32(code), code)


def decoded(value: EncodedValue) -> TensorValue:
    """A tensor of its code, which ``checked_code`` has returned. Raises MalformedError where it is damaged."""
    place = fresh_bytes(value.nbytes)
    code = value.data if not value.data.readonly else memoryview(bytearray(value.data))
    item_bytes = _item_bytes(value.dtype)
    try:
        lossless().decode(value.text, item_bytes, _address(code), len(code), _address(place), value.nbytes)
    except DamagedError as cause:
        raise MalformedError(f"output {value.name}: {cause}") from cause
    return checked_data(TensorValue(value.name, value.dtype, value.shape, place))


def checked_code(
    value: EncodedValue, datatype: str, spec: TensorSpec, shape: Shape | None, text: str | None
) -> EncodedValue:
    """An encoded output, held to its graph and to what was asked for; nothing is allocated.

    Args:
        value: as the answer describes it.
        datatype: the same.
        spec: of the graph's output.
        shape: that it has to have; None where it does not follow from the inputs' shapes.
        text: of the codec that it was asked with; None where it was to be sent as it is.

    Raises:
        MalformedError: it does not fit, or is damaged.
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
    if why or crc32(value.data) != value.crc32:
        raise MalformedError(f"{what}: {why or 'its code is damaged: its checksum is another'}")
    return replace(value, shape=got)


async def _beside(
    nbytes: int, function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _Result:
    """Call a function that takes time for each byte: here, or in a thread."""
    if nbytes <= _INLINE_BYTES:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


def _item_bytes(dtype: str) -> int:
    """Bytes of an element, by which they are shuffled; of strings, and of elements that share bytes, 1."""
    return dtype_of_name(dtype).nbytes(1) or 1


def _address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))
