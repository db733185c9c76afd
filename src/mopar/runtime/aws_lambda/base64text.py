"""Base64 strings of a message: found in its bytes and decoded from there, so that no copy of them is made.

A message's JSON is parsed without its long strings: each is replaced by ``NaN``, which JSON does not have, and the
parser then takes the place where the string is in the message for its value.
"""

from binascii import a2b_base64, b2a_base64

from mopar.runtime.jsontext import parse

TYPE_CHECKING = False  # typing and collections cost memory
if TYPE_CHECKING:
    from collections.abc import Iterator

_LONG = 1024
"""Characters from which on a string is left out. No name is longer."""
_MOST_JSON_BYTES = 1 << 20
_PIECE = 48 << 10
"""Bytes that are encoded at once, a multiple of 3: a copy of them stays in the processor's cache."""
_PIECE_TEXT = _PIECE // 3 * 4
_MARK = "NaN"


class Span:
    """Where a long string is in a message, without its quotes."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end


def parse_without_long(body: bytearray) -> object:
    """The value of a JSON text, with a ``Span`` for each string of more than 1,024 characters.

    Raises:
        ValueError: it is no JSON, or longer than 1 MiB without those strings.
    """
    rest, spans = _without_long(body)
    found = iter(spans)

    def span_of(name: str) -> Span:
        if name != _MARK:
            raise ValueError(f"{name} is no JSON")
        return next(found)  # a NaN of the sender's own leaves none for the last

    return parse(rest, span_of)


def decoded_bytes(text: "memoryview | bytes") -> int:
    """How many bytes a base64 text is decoded to. Raises ValueError where it has no length of one."""
    if len(text) % 4:
        raise ValueError("base64 of a length that is no multiple of 4")
    tail = bytes(text[-2:])
    return len(text) // 4 * 3 - tail.endswith(b"=") - (tail == b"==")


def decode_into(text: "memoryview | bytes", place: memoryview) -> None:
    """Decode a base64 text to memory of the size that ``decoded_bytes`` gives. Raises ValueError: it is none."""
    at = 0
    for start in range(0, len(text), _PIECE_TEXT):
        data = a2b_base64(text[start : start + _PIECE_TEXT], strict_mode=True)
        place[at : at + len(data)] = data
        at += len(data)
    if at != len(place):
        raise ValueError("base64 with padding inside")


def encode_pieces(data: "memoryview | bytes") -> "Iterator[bytes]":
    """The base64 text of data, piece by piece."""
    for start in range(0, len(data), _PIECE):
        yield b2a_base64(data[start : start + _PIECE], newline=False)


def _without_long(body: bytearray) -> "tuple[bytes, list[Span]]":
    parts: list[bytes | bytearray] = []
    spans: list[Span] = []
    kept = position = left_out = 0
    while (start := body.find(b'"', position)) >= 0:
        end = _end_of_string(body, start + 1)
        position = end + 1
        if end - start > _LONG:
            parts += [body[kept:start], _MARK.encode()]
            spans.append(Span(start + 1, end))
            kept = position
            left_out += end - start
        if position - left_out > _MOST_JSON_BYTES:
            break
    if len(body) - left_out > _MOST_JSON_BYTES:
        raise ValueError(f"more than {_MOST_JSON_BYTES} bytes beside the tensors' data")
    return b"".join([*parts, body[kept:]]), spans


def _end_of_string(body: bytearray, position: int) -> int:
    """Where the string's quote is that closes it."""
    while (end := body.find(b'"', position)) >= 0:
        first = end
        while first > position and body[first - 1] == 0x5C:  # a backslash
            first -= 1
        if (end - first) % 2 == 0:
            return end
        position = end + 1
    raise ValueError("a string without an end")
