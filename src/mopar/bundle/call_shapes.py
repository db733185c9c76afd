"""Shapes of a request's tensors, as far as they follow from the shapes of its inputs."""

from collections.abc import Iterable, Mapping

from mopar.types import Region, RequestError, TensorSpec, TensorValue, dtype_of_name, element_count, format_shape

Shape = tuple[int, ...]


def bind_dimensions(specs: Iterable[TensorSpec], shapes: Mapping[str, Shape]) -> dict[str, int]:
    """The sizes of symbolic dimensions.

    Args:
        specs: inputs, dimensions fixed, symbolic or unknown.
        shapes: of the values given for them.

    Raises:
        RequestError: a shape does not fit its specification, or two sizes are given for one symbol.
    """
    sizes: dict[str, int] = {}
    for spec in specs:
        shape = shapes[spec.name]
        if spec.shape is None:
            continue
        if len(shape) != len(spec.shape):
            raise _misfit(spec, shape)
        for dim, size in zip(spec.shape, shape, strict=True):
            if isinstance(dim, int) and dim != size:
                raise _misfit(spec, shape)
            if isinstance(dim, str) and sizes.setdefault(dim, size) != size:
                raise RequestError(
                    f"input {spec.name}: dimension {dim} is {size} here and {sizes[dim]} in another input"
                )
    return sizes


def resolve_shape(spec: TensorSpec, sizes: Mapping[str, int]) -> Shape | None:
    """The tensor's shape where it follows from ``sizes``, else None."""
    if spec.shape is None:
        return None
    shape = tuple(sizes.get(dim) if isinstance(dim, str) else dim for dim in spec.shape)
    return None if any(dim is None for dim in shape) else tuple(dim for dim in shape if dim is not None)


def tensor_bytes(dtype: str, shape: Shape) -> int | None:
    """Bytes of a tensor; None for strings, whose size does not follow from the shape."""
    kind = dtype_of_name(dtype)
    return kind.nbytes(element_count(shape)) if kind.bits else None


def check_bytes(value: TensorValue) -> None:
    """Raise RequestError where an input's bytes do not match its shape."""
    expected, given = tensor_bytes(value.dtype, value.shape), value.nbytes
    if expected is not None and expected != given:
        raise RequestError(f"input {value.name} has {given} bytes, its shape needs {expected}")


def region_shape(name: str, shape: Shape, region: Region) -> Shape:
    """The shape of a tensor's region.

    Args:
        name: of the tensor.
        shape: of the whole tensor.
        region: that a plan reads of it.

    Raises:
        RequestError: the tensor has no such region, as the request's sizes are not those of the plan.
    """
    size = shape[region.axis] if region.axis < len(shape) else 0
    if region.stop > size or region.size not in {None, size}:
        needed = f"{region.stop} at least" if region.size is None else str(region.size)
        raise RequestError(f"tensor {name} has {size} elements along axis {region.axis}, this plan needs {needed}")
    return (*shape[: region.axis], region.stop - region.start, *shape[region.axis + 1 :])


def region_value(value: TensorValue, region: Region | None) -> TensorValue:
    """A contiguous region of a tensor, as a view; the tensor itself where ``region`` is None."""
    if region is None:
        return value
    assert element_count(value.shape[: region.axis]) == 1, "a region that is not contiguous was not lowered"
    shape = region_shape(value.name, value.shape, region)
    stride = len(value.data) // value.shape[region.axis]
    data = memoryview(value.data).cast("B")[region.start * stride : region.stop * stride]
    return TensorValue(value.name, value.dtype, shape, data)


def _misfit(spec: TensorSpec, shape: Shape) -> RequestError:
    return RequestError(
        f"input {spec.name} has shape {format_shape(shape)}, the model takes {format_shape(spec.shape)}"
    )
