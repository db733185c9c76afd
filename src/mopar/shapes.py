"""Parser of ``--input``: ``NAME=1x3x224x224:float32``, ``ids=1x1..512`` or ``ids=batch@2xseq@16``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopar.types import UsageError, dtype_of_name
from mopar.types.ranges import Bounds, StatedShape

_DIM = re.compile(
    r"(?:(?P<symbol>[A-Za-z_][A-Za-z0-9_]*)@)?(?P<first>[0-9]+)(?:\.\.(?P<second>[0-9]+))?(?:\.\.(?P<third>[0-9]+))?"
)
_FORM = (
    "NAME=SHAPE or NAME=SHAPE:DTYPE, such as image=1x3x224x224:float32, ids=1x1..512 for all sizes from 1 to 512, or "
    "ids=1x1..64..512 where latency counts at 64 (NAME=scalar for rank 0)"
)
_SYMBOLIC_FORM = (
    "NAME=SHAPE:DTYPE, such as ids=batch@2xseq@1..64..512:int64, where batch and seq stay symbolic and seq goes from 1 "
    "to 512"
)


ShapeLike = str | Sequence[int] | StatedShape
"""Sizes, or a text in the form of ``--input``, such as ``1x1..512``."""


@dataclass(frozen=True, slots=True)
class InputArg:
    """A parsed ``--input`` argument.

    Attributes:
        name: name of the model's input.
        stated: its shape, with ranges where some were given.
        dtype: a name of ``mopar.types.DTYPES``; None where the argument has no element type.
        symbols: symbol of each dimension; None for a dimension without one.
    """

    name: str
    stated: StatedShape
    dtype: str | None
    symbols: tuple[str | None, ...]


def parse_input(text: str, *, symbolic: bool = False) -> InputArg:
    """Parse ``NAME=SHAPE[:DTYPE]``.

    A name may itself contain ``=`` and ``:``: the last ``=`` ends it.

    Args:
        text: the argument, such as ``image=1x3x224x224:float32``.
        symbolic: whether dimensions may be written ``SYMBOL@SIZE``.

    Raises:
        UsageError: the text is not of that form, or names an element type that does not exist.
    """
    form = _SYMBOLIC_FORM if symbolic else _FORM
    name, equals, rest = text.rpartition("=")
    shape_text, _, dtype = rest.partition(":")
    if not name or not equals:
        raise UsageError(f"--input {text}: write {form}")
    dims = _parse_dims(shape_text)
    if dims is None or ":" in dtype or (":" in rest and not dtype):
        raise UsageError(f"--input {text}: {rest!r} is no shape; write {form}")
    symbols = tuple(dim.symbol for dim in dims)
    if not symbolic and any(symbols):
        raise UsageError(f"--input {text}: a size is needed for each dimension; write {_FORM}")
    for dim in dims:
        if dim.bounds is not None and not dim.bounds[0] <= dim.size <= dim.bounds[1]:
            raise UsageError(f"--input {text}: a range goes up: SMALLEST..LARGEST, or SMALLEST..MIDDLE..LARGEST")
    _check_dtype(text, dtype)
    stated = StatedShape(tuple(dim.size for dim in dims), tuple(dim.bounds for dim in dims))
    return InputArg(name, stated, dtype or None, symbols)


def parse_shape(name: str, shape: ShapeLike) -> StatedShape:
    """A shape as the Python API takes it: sizes, or a text in the form of ``--input``, such as ``1x1..512``.

    Raises:
        UsageError: ``shape`` is neither.
    """
    if isinstance(shape, StatedShape):
        return shape
    if isinstance(shape, str):
        return parse_input(f"{name}={shape}").stated
    if any(size < 0 for size in shape):
        raise UsageError(f"input {name}: {shape!r} is no shape; give sizes, or a text such as '1x1..512'")
    return StatedShape.of(shape)


def parse_shapes(shapes: Mapping[str, ShapeLike] | None) -> dict[str, StatedShape]:
    """``parse_shape`` of each. Raises UsageError."""
    return {name: parse_shape(name, shape) for name, shape in (shapes or {}).items()}


@dataclass(frozen=True, slots=True)
class _Dim:
    """A parsed dimension: its symbol, its size, and its range where one was given."""

    symbol: str | None
    size: int
    bounds: Bounds | None


def _parse_dims(text: str) -> list[_Dim] | None:
    """The dimensions of a shape; None where the text is not a shape."""
    if text == "scalar":
        return []
    dims: list[_Dim] = []
    position = 0
    while found := _DIM.match(text, position):
        dims.append(_dim(found["symbol"], *(int(part) for part in found.groups()[1:] if part is not None)))
        position = found.end()
        if position == len(text):
            return dims
        if text[position] != "x":
            return None
        position += 1
    return None


def _dim(symbol: str | None, first: int, second: int | None = None, third: int | None = None) -> _Dim:
    """A dimension from one number (its size), two (its bounds; its size is the middle) or three (bounds and size)."""
    if second is None:
        return _Dim(symbol, first, None)
    if third is None:
        return _Dim(symbol, (first + second) // 2, (first, second))
    return _Dim(symbol, second, (first, third))


def _check_dtype(text: str, dtype: str) -> None:
    try:
        if dtype:
            dtype_of_name(dtype)
    except KeyError as cause:
        raise UsageError(
            f"--input {text}: no element type is called {dtype!r}; float32 and int64 are examples"
        ) from cause
