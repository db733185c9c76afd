"""Input shapes that were stated at import, as defaults for later commands."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mopar.capture._inputs import import_inputs
from mopar.capture._source import read_source
from mopar.types.ranges import Bounds, StatedShape
from mopar.types.tensor import Dim

if TYPE_CHECKING:
    from mopar.graph import Model

_Size = tuple[int, Bounds | None]


def stated_shapes(
    model: "Model",
    shapes: Mapping[str, StatedShape] | None = None,
    values: Mapping[str, tuple[int, ...]] | None = None,
) -> dict[str, StatedShape]:
    """Shapes of a model's inputs: those given now, and for other inputs those stated at import.

    Dimensions of one symbol have one size: a given one replaces the one stated at import. Where a value is given,
    its sizes are the measured point, and a range stated at import is kept where it contains them.

    Args:
        model: the model; without a side file only ``shapes`` is returned.
        shapes: given shapes by input; returned unchanged.
        values: shapes of given values, by input.

    Raises:
        ModelError: the side file is malformed.
        UsageError: the inputs in the side file are malformed.
    """
    found = dict(shapes or {})
    values = values or {}
    source = read_source(model.path)
    if source is None:
        return found
    imported = {item.name: item.stated for item in import_inputs(source.inputs).arguments}
    specs = {spec.name: spec.shape for spec in model.inputs}
    given = _by_symbol(specs, found)
    valued = _by_symbol(specs, {name: StatedShape.of(shape) for name, shape in values.items()})
    for name, dims in specs.items():
        stated = imported.get(name)
        if name not in found and stated is not None and dims is not None and _fits(stated, dims):
            remembered = zip(stated.point, stated.bounds, strict=True)
            sizes = [_size(dim, size, given, valued) for dim, size in zip(dims, remembered, strict=True)]
            found[name] = StatedShape(tuple(size for size, _ in sizes), tuple(bounds for _, bounds in sizes))
    return found


def _by_symbol(specs: Mapping[str, tuple[Dim, ...] | None], shapes: Mapping[str, StatedShape]) -> dict[str, _Size]:
    """Size and range of each symbol that occurs in one of the shapes."""
    found: dict[str, _Size] = {}
    for name, stated in shapes.items():
        for dim, point, bounds in zip(specs.get(name) or (), stated.point, stated.bounds, strict=False):
            if isinstance(dim, str):
                found.setdefault(dim, (point, bounds))
    return found


def _size(dim: Dim, remembered: _Size, given: Mapping[str, _Size], valued: Mapping[str, _Size]) -> _Size:
    """Size and range of a dimension: as given; else a value's size in the range of the import; else as imported."""
    if not isinstance(dim, str):
        return remembered
    if dim in given:
        return given[dim]
    if dim not in valued:
        return remembered
    size, bounds = valued[dim][0], remembered[1]
    return size, bounds if bounds is not None and bounds[0] <= size <= bounds[1] else None


def _fits(stated: StatedShape, dims: tuple[Dim, ...]) -> bool:
    """Whether a stated shape fits the input, so that the file can still be the one that was imported."""
    return len(stated.point) == len(dims) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(dims, stated.point, strict=True)
    )
