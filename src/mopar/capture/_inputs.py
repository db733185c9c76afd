"""Combines the ``--input`` arguments of an import: one size and at most one range for each symbol."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mopar.shapes import InputArg, parse_input
from mopar.types import UsageError
from mopar.types.ranges import Bounds, StatedShape

_LEAST = 2
"""Smallest example size of a symbolic dimension: torch.export treats sizes of 0 and 1 as constants."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A dimension that stays symbolic.

    Attributes:
        size: the size for which latency is measured.
        bounds: its range; None where none was stated.
        example: its size in the example, at least 2.
    """

    size: int
    bounds: Bounds | None
    example: int


@dataclass(frozen=True, slots=True)
class ImportInputs:
    """The inputs of an import.

    Attributes:
        arguments: the arguments, each with a symbol for every dimension that has a range, and with its symbols' sizes.
        symbols: the symbolic dimensions by name.
    """

    arguments: tuple[InputArg, ...]
    symbols: dict[str, Symbol]

    @property
    def ranges(self) -> dict[str, Bounds]:
        """The ranges of the symbols that have one."""
        return {name: item.bounds for name, item in self.symbols.items() if item.bounds is not None}

    def example_shape(self, argument: InputArg) -> tuple[int, ...]:
        """The shape of an input in the example."""
        sizes = zip(argument.symbols, argument.stated.point, strict=True)
        return tuple(size if symbol is None else self.symbols[symbol].example for symbol, size in sizes)


def import_inputs(texts: Sequence[str]) -> ImportInputs:
    """Parse arguments ``NAME=SHAPE:DTYPE``; a dimension with a range and no symbol gets the symbol ``NAME_AXIS``.

    Where a symbol has a range in one input and a size in another, the range is used.

    Raises:
        UsageError: an argument is malformed or given twice, or a symbol has two sizes, two ranges, or no size of at
            least 2.
    """
    arguments = [parse_input(text, symbolic=True) for text in texts]
    names = [item.name for item in arguments]
    if len(set(names)) != len(names):
        raise UsageError(f"--input: {next(name for name in names if names.count(name) > 1)!r} is given twice")
    written = {symbol for item in arguments for symbol in item.symbols if symbol}
    arguments = [_with_symbols(item, written) for item in arguments]
    stated: dict[str, tuple[int, Bounds | None]] = {}
    for item in arguments:
        for symbol, size, bounds in zip(item.symbols, item.stated.point, item.stated.bounds, strict=True):
            if symbol:
                stated[symbol] = _agreed(item.name, symbol, stated.get(symbol), (size, bounds))
    symbols = {name: Symbol(size, bounds, _example_size(name, size, bounds)) for name, (size, bounds) in stated.items()}
    return ImportInputs(tuple(_with_sizes(item, symbols) for item in arguments), symbols)


def _with_symbols(item: InputArg, written: set[str]) -> InputArg:
    """The argument with a symbol for each dimension that has a range."""
    symbols = list(item.symbols)
    for axis, bounds in enumerate(item.stated.bounds):
        if bounds is not None and symbols[axis] is None:
            name = f"{item.name}_{axis}"
            while name in written:
                name += "_"
            symbols[axis] = name
    return replace(item, symbols=tuple(symbols))


def _agreed(
    name: str, symbol: str, known: tuple[int, Bounds | None] | None, stated: tuple[int, Bounds | None]
) -> tuple[int, Bounds | None]:
    """Merge two statements of a symbol's size and range. Raises UsageError where they contradict."""
    if known is None or known == stated:
        return stated
    ranged = [item for item in (known, stated) if item[1] is not None]
    if len(ranged) == 1:
        (_, bounds), size = ranged[0], (known if known[1] is None else stated)[0]
        if bounds is not None and bounds[0] <= size <= bounds[1]:
            return ranged[0]
    raise UsageError(
        f"--input {name}: {symbol} is both {_text(known)} and {_text(stated)}; give it one size or one range throughout"
    )


def _text(stated: tuple[int, Bounds | None]) -> str:
    size, bounds = stated
    return str(size) if bounds is None else f"{bounds[0]}..{size}..{bounds[1]}"


def _example_size(symbol: str, size: int, bounds: Bounds | None) -> int:
    """The size of a symbol in the example, at least 2. Raises UsageError where its range has no such size."""
    if size >= _LEAST:
        return size
    if bounds is None:
        raise UsageError(f"--input: {symbol}@{size} would be taken as fixed by torch; use {_LEAST} or more, or a range")
    if bounds[1] < _LEAST:
        raise UsageError(
            f"--input: the range {bounds[0]}..{bounds[1]} of {symbol} holds no size of {_LEAST} or more, and torch "
            "takes smaller ones as fixed; give a number in its place"
        )
    return _LEAST


def _with_sizes(item: InputArg, symbols: dict[str, Symbol]) -> InputArg:
    """The argument with the sizes and ranges of its symbols filled in."""
    dims = [
        (size, bounds) if symbol is None else (symbols[symbol].size, symbols[symbol].bounds)
        for symbol, size, bounds in zip(item.symbols, item.stated.point, item.stated.bounds, strict=True)
    ]
    return replace(item, stated=StatedShape(tuple(size for size, _ in dims), tuple(bounds for _, bounds in dims)))
