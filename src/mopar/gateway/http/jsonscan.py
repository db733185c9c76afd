"""Where the tensors' data lie in a JSON text, found block by block without building an object for any of it.

A JSON decoder holds the interpreter's lock from a text's first byte to its last, so that nothing else runs meanwhile.
Numpy scans block by block, and other threads run in between.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mopar.gateway.arrays import Array
from mopar.types import RequestError

BLOCK = 1 << 16
"""Bytes that are scanned at a time."""
MAX_HEAD_BYTES = 1 << 16
"""Of a request's JSON without the data of its tensors."""

SPACES = b" \t\r\n"
OPEN, CLOSE, COMMA, _QUOTE, _BACKSLASH = b'[],"\\'
_DELTA = np.zeros(256, np.int8)
_DELTA[list(b"[{")] = 1
_DELTA[list(b"]}")] = -1
_OUTSIDE, _WITHIN = 3, 4  # a tensor is an object in an array in an object; its data are an array in it
_KEY = re.compile(rb'(?<!\\)"data"[ \t\r\n]*:[ \t\r\n]*\Z')
_KEY_BYTES = 64


class Strings:
    """Finds which bytes of a text are in strings; blocks must be passed in order."""

    __slots__ = ("_inside", "_odd")

    def __init__(self) -> None:
        self._inside = self._odd = False

    def outside(self, block: Array) -> Array:
        """A mask of the bytes that are not in a string; quotes themselves may count as either."""
        quotes = block == _QUOTE
        escaped = self._escaped(block)
        if escaped is not None:
            quotes &= ~escaped
        if not quotes.any():
            return np.full(len(block), not self._inside)
        # Counted modulo 256, which leaves odd and even as they are.
        inside: Array = (np.cumsum(quotes, dtype=np.uint8) + np.uint8(self._inside)) & 1
        self._inside = bool(inside[-1])
        outside: Array = inside == 0
        return outside

    def _escaped(self, block: Array) -> Array | None:
        """A mask of the bytes after an odd number of backslashes; None where there are none."""
        slashes = block == _BACKSLASH
        if not (self._odd or slashes.any()):
            return None
        at = np.arange(len(block), dtype=np.int32)
        # For each byte, the last one up to it that is no backslash.
        last = np.maximum.accumulate(np.where(slashes, np.int32(-1 - self._odd), at))
        odd = ((at - last) & 1).astype(np.bool_)
        escaped = np.concatenate(([self._odd], odd[:-1]))
        self._odd = bool(odd[-1])
        return escaped


@dataclass(frozen=True, slots=True)
class Split:
    """A request's JSON with the tensors' data taken out.

    Attributes:
        head: the text with a string in place of each tensor's data, ``MARK:0``, ``MARK:1`` and so on.
        spans: the data, each an array as it stands in the text, not checked.
        mark: drawn at random for each text, so that no request can contain it.
    """

    head: bytes
    spans: tuple[memoryview, ...]
    mark: str

    def span(self, value: bytes) -> memoryview | None:
        """The data that a value in the head stands for; None for an ordinary value."""
        text = value.decode(errors="replace")
        if not text.startswith(f'"{self.mark}:'):
            return None
        return self.spans[int(text.rpartition(":")[2].rstrip('"'))]


def blocks(text: memoryview) -> Iterator[Array]:
    """A text in pieces."""
    array = np.frombuffer(text, np.uint8)
    for start in range(0, len(array), BLOCK):
        yield array[start : start + BLOCK]


def split(text: memoryview) -> Split:
    """Take the tensors' data out of a request's JSON.

    Raises:
        RequestError: more than ``MAX_HEAD_BYTES`` are left, or the text ends within data.
    """
    head, spans, mark = bytearray(), list[memoryview](), secrets.token_hex(16)
    strings, depth, start, kept = Strings(), 0, 0, 0
    cutting = False
    for block in blocks(text):
        outside = strings.outside(block)
        delta = _DELTA.take(block) * outside
        depths = np.cumsum(delta, dtype=np.int32) + depth
        depth = int(depths[-1])
        begins = outside & (block == OPEN) & (depths == _WITHIN)
        ends = (delta < 0) & (depths == _OUTSIDE)
        for at in (np.flatnonzero(begins | ends) + start).tolist():
            if cutting:
                head += f'"{mark}:{len(spans)}"'.encode()
                spans.append(text[kept : at + 1])
                kept, cutting = at + 1, False
            elif text[at] == OPEN and _KEY.search(text[max(0, at - _KEY_BYTES) : at]):
                head += text[kept:at]
                kept, cutting = at, True
            _bound(len(head))
        start += len(block)
        if not cutting:
            _bound(len(head) + start - kept)
            head += text[kept:start]
            kept = start
    if cutting:
        raise RequestError("the body is not valid JSON: it ends within the data of a tensor")
    return Split(bytes(head), tuple(spans), mark)


def _bound(count: int) -> None:
    if count > MAX_HEAD_BYTES:
        raise RequestError(
            f"beside the data of its tensors, a request's JSON may have {MAX_HEAD_BYTES} bytes: send tensors as binary "
            "data",
            413,
        )
