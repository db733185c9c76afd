"""Large tensors from JSON, decoded in pieces, so that other threads run in between and little memory is added."""

from collections.abc import Iterator

import numpy as np

from mopar.gateway.arrays import Array, Buffer, numpy_dtype
from mopar.gateway.http.jsondata import check_json_type, packed, parse_json
from mopar.gateway.http.jsonscan import CLOSE, COMMA, OPEN, SPACES, Strings, blocks
from mopar.types import RequestError, element_count, format_shape

_MAX_PIECE_BYTES = 1 << 20
_STRUCTURE = np.zeros(256, np.bool_)
_STRUCTURE[[OPEN, CLOSE, COMMA]] = True
_BRACKETS = np.zeros(256, np.bool_)
_BRACKETS[[OPEN, CLOSE]] = True
_SPACE = np.zeros(256, np.bool_)
_SPACE[list(SPACES)] = True


def from_json_span(span: memoryview, name: str, dtype: str, shape: tuple[int, ...]) -> Buffer:
    """The elements of a tensor's ``data``, flat or nested, as ``TensorValue.data``.

    The same results as from ``from_json_data``, except that an element of more than 1 MiB is refused.

    Args:
        span: an array as it stands in a request.
        name: of the tensor.
        dtype: of its elements.
        shape: checked against the text before anything is allocated for it.

    Raises:
        RequestError: the dtype has no JSON form, or count, nesting, element types or ranges do not fit.
    """
    what = f"input {name}"
    check_json_type(dtype, what)
    structure = _structure(span, shape, what)
    count = element_count(shape)
    if count == 0:
        if bytes(span).translate(None, SPACES) != structure:
            raise _misfit(span, shape, what)
        return b""
    parts = _Parts(dtype, count, what)
    for piece in _pieces(span, structure, shape, what):
        parts.add(parse_json(b"[%b]" % piece))
    return parts.whole(shape)


class _Parts:
    """Collects a tensor's elements piece by piece: numbers in one array, strings in a list."""

    def __init__(self, dtype: str, count: int, what: str) -> None:
        self._dtype, self._count, self._what = dtype, count, what
        self._found = 0
        self._strings: list[Buffer] = []
        self._numbers: Array | None = None if dtype == "string" else np.empty(count, numpy_dtype(dtype))

    def add(self, flat: object) -> None:
        assert isinstance(flat, list), "a piece stands in brackets"
        if self._found + len(flat) > self._count:
            raise RequestError(f"{self._what}: more elements in data than its shape holds")
        data = packed(flat, self._dtype, self._what)
        if self._numbers is None:
            self._strings.append(data)
        else:
            piece = np.frombuffer(data, self._numbers.dtype)
            self._numbers[self._found : self._found + len(flat)] = piece
        self._found += len(flat)

    def whole(self, shape: tuple[int, ...]) -> Buffer:
        if self._found != self._count:
            raise RequestError(
                f"{self._what}: {self._found} elements in data, shape {format_shape(shape)} holds another number"
            )
        return b"".join(self._strings) if self._numbers is None else self._numbers.view(np.uint8).data


def _structure(span: memoryview, shape: tuple[int, ...], what: str) -> bytes:
    """The brackets and commas of an array of a shape; flat or nested is decided by how the text begins."""
    nested = bytes(span[1:1024]).lstrip(SPACES)[:1] == b"["
    dims = shape if nested else (element_count(shape),)
    # A valid text is at least as long; a larger shape is refused before anything of its size is allocated.
    if _structure_bytes(dims) > len(span):
        raise _misfit(span, shape, what)
    text = b""
    for dim in reversed(dims):
        text = b"[%b]" % ((text + b",") * (dim - 1) + text if dim else b"")
    return text


def _structure_bytes(dims: tuple[int, ...]) -> int:
    total = 0
    for dim in reversed(dims):
        total = 2 + dim * total + max(dim - 1, 0)
    return total


def _pieces(span: memoryview, structure: bytes, shape: tuple[int, ...], what: str) -> Iterator[bytes]:
    """The elements with commas between them, in pieces that end before a comma, inner brackets left out."""
    strings, want, at = Strings(), np.frombuffer(structure, np.uint8), 0
    before = COMMA
    rest = b""
    for block in blocks(span):
        outside = strings.outside(block)
        marks = block[_STRUCTURE.take(block) & outside]
        if not np.array_equal(marks, want[at : at + len(marks)]):
            raise _misfit(span, shape, what)
        at += len(marks)
        brackets = _BRACKETS.take(block) & outside
        if before != CLOSE and not _SPACE[block[-1]] and not brackets.any():
            before, bare = (int(block[-1]) if outside[-1] else 0), block
        else:
            before = _check_neighbours(block, outside, before, what)
            bare = block.copy()
            bare[brackets] = ord(" ")
        commas = np.flatnonzero((block == COMMA) & outside)
        if len(commas):
            last = int(commas[-1])
            yield rest + bare[:last].tobytes()
            rest = bare[last + 1 :].tobytes()
        else:
            rest += bare.tobytes()
        if len(rest) > _MAX_PIECE_BYTES:
            raise RequestError(f"{what}: an element of more than {_MAX_PIECE_BYTES} bytes: send it as binary data", 413)
    if at != len(want):
        raise _misfit(span, shape, what)
    yield rest


def _check_neighbours(block: Array, outside: Array, before: int, what: str) -> int:
    """Check that brackets are next to brackets and commas only; returns the last byte that is not a space."""
    solid = ~(_SPACE[block] & outside)
    bytes_ = np.concatenate((np.array([before], np.uint8), block[solid]))
    # A byte in a string is like any that is no bracket and no comma.
    kinds = np.where(np.concatenate(([True], outside[solid])), bytes_, np.uint8(0))
    left, right = kinds[:-1], kinds[1:]
    wrong = (right == OPEN) & (left != OPEN) & (left != COMMA)
    wrong |= (left == CLOSE) & (right != CLOSE) & (right != COMMA)
    if wrong.any():
        raise RequestError(f"{what}: the body is not valid JSON: a bracket beside an element of data")
    return int(kinds[-1])


def _misfit(span: memoryview, shape: tuple[int, ...], what: str) -> RequestError:
    if bytes(span[1:1024]).lstrip(SPACES)[:1] == b"[":
        return RequestError(f"{what}: the nesting of data does not follow shape {format_shape(shape)}")
    return RequestError(f"{what}: data hold another number of elements than shape {format_shape(shape)}")
