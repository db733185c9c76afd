"""Large tensors from JSON, decoded in pieces, so that other threads run in between and little memory is added."""

import re
from collections.abc import Iterator

from mopar.buffers import Buffer, fresh_bytes
from mopar.gateway.http.jsondata import check_json_type, packed, parse_json
from mopar.gateway.http.jsonscan import SPACES, Strings, all_but, blocks
from mopar.types import RequestError, dtype_of_name, element_count, format_shape

_MAX_PIECE_BYTES = 1 << 20
_BRACKET = re.compile(rb"[\[\]]")
_NO_STRUCTURE = all_but(b"[],")
_KINDS = bytes.maketrans(_NO_STRUCTURE, b"x" * len(_NO_STRUCTURE))
_AS_SPACES = bytes.maketrans(b"[]", b"  ")


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
        if b"".join(block.translate(None, SPACES) for block in blocks(span)) != structure:
            raise _misfit(span, shape, what)
        return b""
    parts = _Parts(dtype, count, what)
    for piece in _pieces(span, structure, shape, what):
        parts.add(parse_json(b"[%b]" % piece))
    return parts.whole(shape)


class _Parts:
    """Collects a tensor's elements piece by piece: numbers in one place, strings in a list."""

    def __init__(self, dtype: str, count: int, what: str) -> None:
        self._dtype, self._count, self._what = dtype, count, what
        self._found = self._filled = 0
        self._strings: list[Buffer] = []
        self._numbers = None if dtype == "string" else fresh_bytes(dtype_of_name(dtype).nbytes(count))

    def add(self, flat: object) -> None:
        assert isinstance(flat, list), "a piece stands in brackets"
        if self._found + len(flat) > self._count:
            raise RequestError(f"{self._what}: more elements in data than its shape holds")
        data = packed(flat, self._dtype, self._what)
        if self._numbers is None:
            self._strings.append(data)
        else:
            self._numbers[self._filled : self._filled + len(data)] = data
        self._found += len(flat)
        self._filled += len(data)

    def whole(self, shape: tuple[int, ...]) -> Buffer:
        if self._found != self._count:
            raise RequestError(
                f"{self._what}: {self._found} elements in data, shape {format_shape(shape)} holds another number"
            )
        return b"".join(self._strings) if self._numbers is None else self._numbers


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
    strings, at = Strings(), 0
    before = b","
    rest = b""
    for block in blocks(span):
        blanked = strings.blanked(block)
        marks = blanked.translate(None, _NO_STRUCTURE)
        if marks != structure[at : at + len(marks)]:
            raise _misfit(span, shape, what)
        at += len(marks)
        bare = block
        if before == b"]" or b"[" in marks or b"]" in marks:
            before = _check_neighbours(blanked, before, what)
            bare = _without_brackets(block, blanked)
        else:
            before = blanked.rstrip(SPACES)[-1:].translate(_KINDS) or before
        last = blanked.rfind(b",")
        if last >= 0:
            yield rest + bare[:last]
            rest = bare[last + 1 :]
        else:
            rest += bare
        if len(rest) > _MAX_PIECE_BYTES:
            raise RequestError(f"{what}: an element of more than {_MAX_PIECE_BYTES} bytes: send it as binary data", 413)
    if at != len(structure):
        raise _misfit(span, shape, what)
    yield rest


def _check_neighbours(blanked: bytes, before: bytes, what: str) -> bytes:
    """Check that brackets are next to brackets and commas only; returns the last byte that is not a space.

    Args:
        blanked: a block, without what is in strings.
        before: what the check of the block before it returned.
        what: the tensor, for messages.

    Returns:
        A bracket or a comma as it is, and ``x`` for any other byte.
    """
    kinds = before + blanked.translate(_KINDS, SPACES)
    if b"x[" in kinds or b"]x" in kinds or b"][" in kinds:
        raise RequestError(f"{what}: the body is not valid JSON: a bracket beside an element of data")
    return kinds[-1:]


def _without_brackets(block: bytes, blanked: bytes) -> bytes:
    """The block with spaces for the brackets that are in no string."""
    if blanked == block:
        return block.translate(_AS_SPACES)
    bare = bytearray(block)
    for found in _BRACKET.finditer(blanked):
        bare[found.start()] = ord(" ")
    return bytes(bare)


def _misfit(span: memoryview, shape: tuple[int, ...], what: str) -> RequestError:
    if bytes(span[1:1024]).lstrip(SPACES)[:1] == b"[":
        return RequestError(f"{what}: the nesting of data does not follow shape {format_shape(shape)}")
    return RequestError(f"{what}: data hold another number of elements than shape {format_shape(shape)}")
