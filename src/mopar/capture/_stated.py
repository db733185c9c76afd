"""What an import was told of the inputs' sizes stands for what a later command is not told."""

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
    """Shapes of a model's inputs: those that are given, and for the others what its import was told.

    A dimension that an import stated has the size of a given one of the same symbol. Where a value is given, its
    sizes are the point, and a range of the import holds on where they lie within.

    Args:
        model: a model; without the side file of an import only ``shapes`` is known.
        shapes: by input; as they are.
        values: shapes of given values, by input.

    Raises:
        ModelError: the side file is malformed.
        UsageError: so are the inputs in it.
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
    """Size and range of each symbol that one of the shapes has."""
    found: dict[str, _Size] = {}
    for name, stated in shapes.items():
        for dim, point, bounds in zip(specs.get(name) or (), stated.point, stated.bounds, strict=False):
            if isinstance(dim, str):
                found.setdefault(dim, (point, bounds))
    return found


def _size(dim: Dim, remembered: _Size, given: Mapping[str, _Size], valued: Mapping[str, _Size]) -> _Size:
    """Size and range of a dimension: a given shape's as it is, or a value's in the remembered range, or remembered."""
    if not isinstance(dim, str):
        return remembered
    if dim in given:
        return given[dim]
    if dim not in valued:
        return remembered
    size, bounds = valued[dim][0], remembered[1]
    return size, bounds if bounds is not None and bounds[0] <= size <= bounds[1] else None


def _fits(stated: StatedShape, dims: tuple[Dim, ...]) -> bool:
    """Whether a file of that name is still the one that was imported, as far as its input tells."""
    return len(stated.point) == len(dims) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(dims, stated.point, strict=True)
    )
