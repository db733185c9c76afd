"""Where the tensors' data lie in a JSON text, found block by block without building an object for any of it.

A JSON decoder holds the interpreter's lock from a text's first byte to its last, so that nothing else runs meanwhile.
Here a block is scanned at a time, and other threads run in between. What the methods of ``bytes`` can do costs about a
nanosecond per byte, so nothing is done byte by byte in Python.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from mopar.types import RequestError

BLOCK = 1 << 14
"""Bytes that are scanned at a time: no longer than the event loop can wait, a few hundred microseconds."""
MAX_HEAD_BYTES = 1 << 16
"""Of a request's JSON without the data of its tensors."""

SPACES = b" \t\r\n"
_BRACKETS = b"[]{}"
_OPEN = ord("[")
_BRACKET = re.compile(rb"[\[\]{}]")
_UP, _DOWN = b"\x01", b"\xff"
_STEPS = bytes.maketrans(_BRACKETS, _UP + _DOWN + _UP + _DOWN)
"""What each bracket adds to the depth, as a signed byte."""
_ROUNDS = 3
_DEEPEST = 1000
"""Decoders of JSON refuse more too, but only after all of it was scanned."""
_OUTSIDE, _WITHIN = 3, 4  # a tensor is an object in an array in an object; its data are an array in it
_KEY = re.compile(rb'(?<!\\)"data"[ \t\r\n]*:[ \t\r\n]*\Z')
_KEY_BYTES = 64


def all_but(kept: bytes) -> bytes:
    """Every byte that is not among ``kept``, for ``bytes.translate`` to delete."""
    return bytes(set(range(256)) - set(kept))


_NO_BRACKETS = all_but(_BRACKETS)


class Strings:
    """Blanks out what is in strings; blocks of a text must be passed in order."""

    __slots__ = ("_inside", "_odd")

    def __init__(self) -> None:
        self._inside = self._odd = False

    def blanked(self, block: bytes) -> bytes:
        """The block with ``x`` for each byte that is in a string; the quotes around it may stay."""
        text = self._without_escapes(block)
        parts = text.split(b'"')
        within = slice(0 if self._inside else 1, None, 2)
        parts[within] = [b"x" * len(part) for part in parts[within]]
        self._inside ^= len(parts) % 2 == 0
        return b'"'.join(parts)

    def _without_escapes(self, block: bytes) -> bytes:
        """The block without backslashes that escape a quote or a backslash, nor what they escape."""
        if not self._odd and b"\\" not in block:
            return block
        text = b"\\" + block if self._odd else block
        text = text.replace(b"\\\\", b"xx").replace(b'\\"', b"xx")
        text = text[1:] if self._odd else text
        self._odd = text.endswith(b"\\")
        return text


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


def blocks(text: memoryview) -> Iterator[bytes]:
    """A text in pieces."""
    for start in range(0, len(text), BLOCK):
        yield bytes(text[start : start + BLOCK])


def split(text: memoryview) -> Split:
    """Take the tensors' data out of a request's JSON.

    Raises:
        RequestError: more than ``MAX_HEAD_BYTES`` are left, or the text ends within data.
    """
    head, spans, mark = bytearray(), list[memoryview](), os.urandom(16).hex()
    strings, depth, start, kept = Strings(), 0, 0, 0
    cutting = False
    for block in blocks(text):
        depth, edges = _edges(strings.blanked(block), depth)
        if depth > _DEEPEST:
            raise RequestError("the body is not valid JSON: it is nested too deeply")
        for edge, opens in edges:
            at = start + edge
            if cutting and not opens:
                head += f'"{mark}:{len(spans)}"'.encode()
                spans.append(text[kept : at + 1])
                kept, cutting = at + 1, False
            elif not cutting and opens and _KEY.search(text[max(0, at - _KEY_BYTES) : at]):
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


def _edges(blanked: bytes, depth: int) -> tuple[int, Iterable[tuple[int, bool]]]:
    """The depth after a block, and the brackets in it at which a tensor's data may begin or end.

    Args:
        blanked: the block, without what is in strings.
        depth: of brackets before it.

    Returns:
        Of each bracket its position, and whether it is one that opens an array.
    """
    steps = blanked.translate(_STEPS, _NO_BRACKETS)
    if _stays_within(steps, depth):
        return depth + steps.count(_UP) - steps.count(_DOWN), ()
    depths = list(accumulate(memoryview(steps).cast("b"), initial=depth))
    if _OUTSIDE not in depths:
        return depths[-1], ()
    positions = (found.start() for found in _BRACKET.finditer(blanked))
    edges = (
        (at, blanked[at] == _OPEN)
        for at, (before, after) in zip(positions, pairwise(depths), strict=True)
        if before + after == _OUTSIDE + _WITHIN and (blanked[at] == _OPEN or before > after)
    )
    return depths[-1], edges


def _stays_within(steps: bytes, depth: int) -> bool:
    """Whether the depth certainly stays that of data: closing brackets count, but for those just after what they close.

    What is between a bracket and the one that closes it lies deeper than both, and can be left out.
    """
    for _ in range(_ROUNDS):
        steps = steps.replace(_UP + _DOWN, b"")
    return depth - steps.count(_DOWN) >= _WITHIN


def _bound(count: int) -> None:
    if count > MAX_HEAD_BYTES:
        raise RequestError(
            f"beside the data of its tensors, a request's JSON may have {MAX_HEAD_BYTES} bytes: send tensors as binary "
            "data",
            413,
        )
