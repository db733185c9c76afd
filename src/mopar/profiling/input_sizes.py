"""The sizes of a model's inputs: the point that is measured, and the range around it that a service must answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mopar.types import Dim, InputError, TensorSpec, format_shape
from mopar.types.ranges import Bounds, InputRange, StatedShape

Array = NDArray[np.generic]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class InputSizes:
    """Every input's shape at the measured point, and its range.

    Attributes:
        point: shape by input.
        ranges: of each input, in the model's order.
    """

    point: Shapes
    ranges: tuple[InputRange, ...]

    @property
    def stated(self) -> bool:
        """Whether somebody stated a range; if not, the point is the largest size."""
        return any(item.stated for item in self.ranges)

    @property
    def smallest(self) -> Shapes:
        """Shape by input."""
        return {item.name: item.smallest for item in self.ranges}

    @property
    def largest(self) -> Shapes:
        """Shape by input."""
        return {item.name: item.largest for item in self.ranges}


@dataclass(frozen=True, slots=True)
class _Size:
    """What was stated of a symbol, and in which input."""

    size: int
    bounds: Bounds | None
    where: str


def stated_sizes(
    specs: Sequence[TensorSpec], stated: Mapping[str, StatedShape], values: Mapping[str, Array]
) -> InputSizes:
    """Every input's sizes where some have values, whose shapes are then the point; otherwise as ``resolve_sizes``.

    Raises:
        InputError: also where a name is unknown, or a value's shape lies outside of what was stated of it.
    """
    check_names(specs, {**stated, **values})
    given = {name: _with_point(name, value.shape, stated.get(name)) for name, value in values.items()}
    return resolve_sizes(specs, {**stated, **given})


def check_names(specs: Sequence[TensorSpec], named: Iterable[str]) -> None:
    """Raise InputError where a model has no input of one of these names."""
    names = [spec.name for spec in specs]
    for name in named:
        if name not in names:
            raise InputError(f"the model has no input {name!r}; its inputs are {', '.join(names)}")


def _with_point(name: str, point: tuple[int, ...], stated: StatedShape | None) -> StatedShape:
    if stated is None or all(bound is None for bound in stated.bounds):
        return StatedShape.of(point)
    if not InputRange(name, stated.smallest, stated.largest).holds(point):
        raise InputError(f"input {name!r} is given with {format_shape(point)}, outside of the range stated for it")
    return StatedShape(point, stated.bounds)


def resolve_sizes(specs: Sequence[TensorSpec], stated: Mapping[str, StatedShape]) -> InputSizes:
    """Every input's sizes, from those that were stated of some.

    Args:
        specs: the model's inputs.
        stated: by input; may leave out inputs whose dimensions are fixed or follow from another input's by the name
            of a dimension.

    Raises:
        InputError: dimensions stay open (all of them are named), a symbol has two sizes or ranges, or a shape does not
            fit the model's.
    """
    symbols: dict[str, _Size] = {}
    for spec in specs:
        if spec.name in stated:
            _bind(spec, stated[spec.name], symbols)
    missing = [spec for spec in specs if spec.name not in stated and not _follows(spec, symbols)]
    if missing:
        raise InputError(_missing_text(missing))
    shapes = {spec.name: _shape(spec, stated.get(spec.name), symbols) for spec in specs}
    return InputSizes(
        {name: shape.point for name, shape in shapes.items()},
        tuple(_range(spec, shapes[spec.name]) for spec in specs),
    )


def _bind(spec: TensorSpec, shape: StatedShape, symbols: dict[str, _Size]) -> None:
    """Check a shape against the model's, and note what it says of symbols."""
    if spec.shape is None:
        return
    declared, text = format_shape(spec.shape), format_shape(shape.point)
    if len(shape.point) != len(spec.shape):
        raise InputError(f"input {spec.name!r} has rank {len(spec.shape)} ({declared}), not {text}")
    for dim, size, bounds in zip(spec.shape, shape.point, shape.bounds, strict=True):
        if isinstance(dim, int) and bounds not in {None, (dim, dim)}:
            raise InputError(f"input {spec.name!r} is {declared}: its dimension of {dim} takes no range")
        if size < 0 or (isinstance(dim, int) and dim != size):
            raise InputError(f"input {spec.name!r} is {declared}, which {text} does not fit")
        if isinstance(dim, str):
            _note(symbols, dim, _Size(size, bounds, spec.name))


def _note(symbols: dict[str, _Size], symbol: str, found: _Size) -> None:
    known = symbols.setdefault(symbol, found)
    if known.size != found.size:
        raise InputError(
            f"dimension {symbol!r} is {known.size} in input {known.where!r} but {found.size} in {found.where!r}; "
            "give it one size throughout"
        )
    if known.bounds is None:
        symbols[symbol] = found
    elif found.bounds not in {None, known.bounds}:
        raise InputError(
            f"dimension {symbol!r} has one range in input {known.where!r} and another in {found.where!r}; "
            "give it one range throughout"
        )


def _follows(spec: TensorSpec, symbols: Mapping[str, _Size]) -> bool:
    return spec.shape is not None and all(isinstance(dim, int) or dim in symbols for dim in spec.shape)


def _shape(spec: TensorSpec, stated: StatedShape | None, symbols: Mapping[str, _Size]) -> StatedShape:
    """As stated, or as it follows; a symbol's range counts wherever it stands."""
    dims: Sequence[Dim] = spec.shape if spec.shape is not None else [None] * len(stated.point if stated else ())
    sizes: list[int] = []
    bounds: list[Bounds | None] = []
    for axis, dim in enumerate(dims):
        known = symbols.get(dim) if isinstance(dim, str) else None
        if known is not None:
            sizes.append(known.size)
            bounds.append(known.bounds)
        elif isinstance(dim, int):
            sizes.append(dim)
            bounds.append((dim, dim))
        else:
            assert stated is not None, "what neither is stated nor follows is missing"
            sizes.append(stated.point[axis])
            bounds.append(stated.bounds[axis])
    return StatedShape(tuple(sizes), tuple(bounds))


def _range(spec: TensorSpec, shape: StatedShape) -> InputRange:
    dims = spec.shape if spec.shape is not None else (None,) * len(shape.point)
    open_bounds = [bound for dim, bound in zip(dims, shape.bounds, strict=True) if not isinstance(dim, int)]
    stated = any(bound is not None for bound in open_bounds)
    return InputRange(spec.name, shape.smallest, shape.largest, stated)


def _missing_text(missing: Sequence[TensorSpec]) -> str:
    """All inputs whose sizes are not known, and what to write for them."""
    listed = ", ".join(f"{spec.name!r} ({format_shape(spec.shape)})" for spec in missing)
    subject = f"inputs {listed} have" if len(missing) > 1 else f"input {listed} has"
    wanted: list[str] = []
    covered: set[Dim] = set()
    for spec in missing:
        dims = {dim for dim in spec.shape or () if not isinstance(dim, int)}
        if spec.shape is None or None in dims or not dims <= covered:
            wanted.append(f"--input {spec.name}=SHAPE")
            covered |= dims
    return (
        f"{subject} dynamic dimensions: give {' '.join(wanted)}, with ranges such as 1..512 where requests vary in size"
    )
