"""How the command line writes an input: ``NAME=1x3x224x224:float32``, or with symbols: ``ids=batch@2xseq@16:int64``."""

import re
from dataclasses import dataclass

from mopar.types import UsageError, dtype_of_name

_DIM = re.compile(r"(?:(?P<symbol>[A-Za-z_][A-Za-z0-9_]*)@)?(?P<size>[0-9]+)")
_FORM = "NAME=SHAPE or NAME=SHAPE:DTYPE, such as image=1x3x224x224:float32 (NAME=scalar for rank 0)"
_SYMBOLIC_FORM = "NAME=SHAPE:DTYPE, such as ids=batch@2xseq@16:int64, where batch and seq stay symbolic"


@dataclass(frozen=True, slots=True)
class InputArg:
    """One ``--input``.

    Attributes:
        name: of the model's input.
        shape: sizes, the examples of symbolic dimensions included.
        dtype: a name of ``mopar.types.DTYPES``; None where the argument names none.
        symbols: for each dimension its symbol, or None where it is fixed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str | None
    symbols: tuple[str | None, ...]


def parse_input(text: str, *, symbolic: bool = False) -> InputArg:
    """The input that ``NAME=SHAPE[:DTYPE]`` describes.

    A name may hold ``=`` and ``:`` itself: the last ``=`` ends it.

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
    symbols = tuple(symbol for symbol, _ in dims)
    if not symbolic and any(symbols):
        raise UsageError(f"--input {text}: a size is needed for each dimension; write {_FORM}")
    _check_dtype(text, dtype)
    return InputArg(name, tuple(size for _, size in dims), dtype or None, symbols)


def _parse_dims(text: str) -> list[tuple[str | None, int]] | None:
    """Symbol and size of each dimension; None where the text is no shape."""
    if text == "scalar":
        return []
    dims: list[tuple[str | None, int]] = []
    position = 0
    while found := _DIM.match(text, position):
        dims.append((found["symbol"], int(found["size"])))
        position = found.end()
        if position == len(text):
            return dims
        if text[position] != "x":
            return None
        position += 1
    return None


def _check_dtype(text: str, dtype: str) -> None:
    try:
        if dtype:
            dtype_of_name(dtype)
    except KeyError as cause:
        raise UsageError(
            f"--input {text}: no element type is called {dtype!r}; float32 and int64 are examples"
        ) from cause
