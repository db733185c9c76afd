"""Tensors as JSON arrays."""

import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec

from mopar.buffers import Buffer
from mopar.files import JSON_ERRORS
from mopar.runtime.strings import pack_strings, unpack_strings
from mopar.types import RequestError, TensorValue, element_count, format_shape

_FLOATS = {"float32": "f", "float64": "d"}
_INTEGERS = {
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "Q",
}
_CODES = _FLOATS | _INTEGERS | {"bool": "?"}
"""What ``struct`` calls the element types that are numbers or booleans."""
JSON_TYPES = frozenset({*_CODES, "string"})
"""Element types that the protocol can write as JSON; the others are sent as binary data only."""

_PIECE = 1 << 13
"""Elements that are written at a time."""


def parse_json(text: Buffer) -> object:
    """Plain data from JSON, NaN, Infinity and -Infinity included: Triton and its clients write them.

    Raises:
        RequestError: it is not JSON.
    """
    try:
        return msgspec.json.decode(text)
    except JSON_ERRORS as cause:
        raw = bytes(text)
        if isinstance(cause, RecursionError) or not has_constants(raw):
            raise RequestError(f"the body is not valid JSON: {cause}") from cause
    try:
        value: object = json.loads(raw, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair could not be echoed
    except (ValueError, RecursionError) as cause:
        raise RequestError(f"the body is not valid JSON: {cause}") from cause
    return value


def has_constants(text: bytes) -> bool:
    """Whether a text may hold NaN or an infinity, which standard JSON cannot express."""
    return b"NaN" in text or b"Infinity" in text


def without_constants(text: bytes) -> bytes:
    """Standard JSON with ``[{}]``, which is valid in no field of a request, in place of NaN and infinities.

    Raises:
        RequestError: the text is not JSON for another reason.
    """
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=lambda _word: [{}])
        return json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as cause:
        raise RequestError(f"the body is not valid JSON: {cause}") from cause


def _finite(text: str) -> float:
    """A number written as digits; one that overflows is an error, not an infinity."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:20]} is out of range")
    return value


def from_json_data(data: object, name: str, dtype: str, shape: tuple[int, ...]) -> Buffer:
    """The elements of a tensor's ``data``, flat or nested, as ``TensorValue.data``.

    Raises:
        RequestError: the dtype has no JSON form, or count, nesting, element types or ranges do not fit.
    """
    what = f"input {name}"
    check_json_type(dtype, what)
    return packed(_flatten(data, what, shape), dtype, what)


def check_json_type(dtype: str, what: str) -> None:
    """Raise RequestError where an element type has no JSON form."""
    if dtype not in JSON_TYPES:
        raise RequestError(f"{what}: {dtype} has no JSON form in the protocol: send it as binary data")


def packed(flat: list[Any], dtype: str, what: str) -> Buffer:
    """Elements as ``TensorValue.data``. Raises RequestError where type or range of one does not fit."""
    kinds = set(map(type, flat))
    if dtype == "string":
        _expect(kinds, {str}, what, "strings")
        return pack_strings(item.encode() for item in flat)
    if dtype in _FLOATS:
        _expect(kinds, {int, float}, what, "numbers")
    elif dtype == "bool":
        _expect(kinds, {bool, int}, what, "booleans")
        if not {0, 1}.issuperset(flat):
            raise RequestError(f"{what}: booleans are true and false, or 1 and 0")
    else:
        _expect(kinds, {int}, what, "integers")
    try:
        return struct.pack(f"<{len(flat)}{_CODES[dtype]}", *flat)
    except (struct.error, OverflowError) as cause:
        raise RequestError(f"{what}: a number is out of the range of {dtype}") from cause


def to_json_data(value: TensorValue) -> Iterator[bytes]:
    """A tensor's elements as a flat JSON array, in pieces between which other threads may run.

    Raises:
        RequestError: a string is not UTF-8.
    """
    write, count = _writer(value)
    if count <= _PIECE:
        yield write(0, count)
        return
    for start in range(0, count, _PIECE):
        yield b"," if start else b"["
        yield write(start, min(start + _PIECE, count))[1:-1]
    yield b"]"


def _writer(value: TensorValue) -> tuple[Callable[[int, int], bytes], int]:
    """What writes a range of a tensor's elements as a JSON array, and their number."""
    if value.dtype == "string":
        strings = unpack_strings(value.data)
        return lambda start, stop: _strings_text(strings[start:stop], value.name), len(strings)
    code = _CODES[value.dtype]
    step = struct.calcsize(f"<{code}")

    def write(start: int, stop: int) -> bytes:
        numbers = struct.unpack_from(f"<{stop - start}{code}", value.data, start * step)
        text = msgspec.json.encode(numbers)
        # An n is of null, for a NaN or an infinity: the protocol's clients know these by their names.
        return json.dumps(numbers).encode() if b"n" in text else text

    return write, memoryview(value.data).nbytes // step


def _strings_text(strings: Sequence[bytes], name: str) -> bytes:
    try:
        return msgspec.json.encode([item.decode() for item in strings])
    except UnicodeDecodeError as cause:
        raise RequestError(f"output {name} holds bytes that are not UTF-8: ask for it with binary_data true") from cause


def _flatten(data: object, what: str, shape: tuple[int, ...]) -> list[Any]:
    if not isinstance(data, list):
        raise RequestError(f"{what}: data must be an array")
    if not data or not isinstance(data[0], list):
        if len(data) != element_count(shape):
            raise RequestError(
                f"{what}: {len(data)} elements in data, shape {format_shape(shape)} holds another number"
            )
        return data
    level: list[Any] = [data]
    for dim in shape:
        if set(map(type, level)) - {list} or set(map(len, level)) - {dim}:
            raise RequestError(f"{what}: the nesting of data does not follow shape {format_shape(shape)}")
        level = list(chain.from_iterable(level))
    return level


def _expect(kinds: set[type], allowed: set[type], what: str, words: str) -> None:
    if kinds - allowed:
        wrong = sorted("null" if kind is type(None) else kind.__name__ for kind in kinds - allowed)
        raise RequestError(f"{what}: data must hold {words}, found {', '.join(wrong)}")
