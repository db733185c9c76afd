"""Reader of the Protocol Buffers wire format that works in place, without objects for the whole file.

Fields come in the file's order. Parsers differ in which of several fields of one number they use, so callers must check
for repeated fields where that matters.
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_SIZES = {FIXED64: 8, FIXED32: 4}
_MORE = 0x80
_LAST_SHIFT = 63
_FIRST_TAG, _MOST_TAG = 1 << 3, (1 << 32) - 1
_SIGN, _RANGE = 1 << 63, 1 << 64

Field = tuple[int, int, int, int]
"""A field: its number and wire type; then the value and 0 for a varint, or start and end of its bytes otherwise."""


def fields_of(data: bytes, start: int, stop: int) -> Iterator[Field]:
    """The fields of the message in ``data[start:stop]``.

    Raises:
        ValueError: it is not a valid message, or has groups, which ONNX does not use.
    """
    at = start
    while at < stop:
        tag, at = _varint(data, at, stop)
        wire = tag & 7
        if not _FIRST_TAG <= tag <= _MOST_TAG:
            raise ValueError("a field's number is out of range")
        if wire == VARINT:
            value, at = _varint(data, at, stop)
            yield tag >> 3, wire, value, 0
            continue
        if wire == BYTES:
            size, at = _varint(data, at, stop)
        elif wire in _SIZES:
            size = _SIZES[wire]
        else:
            raise ValueError(f"there is no wire type {wire}")
        if size > stop - at:
            raise ValueError("a field ends after its message")
        yield tag >> 3, wire, at, at + size
        at += size


def signed(value: int) -> int:
    """A varint's value as a signed 64-bit integer."""
    return value - _RANGE if value >= _SIGN else value


def _varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """A varint's value, and the position after it."""
    if at < stop and data[at] < _MORE:
        return data[at], at + 1
    value = 0
    for shift in range(0, _LAST_SHIFT + 1, 7):
        if at >= stop:
            raise ValueError("a number ends after its message")
        byte = data[at]
        at += 1
        value |= (byte & (_MORE - 1)) << shift
        if byte < _MORE:
            return value % _RANGE, at
    raise ValueError("a number has too many bytes")
