"""Shapes of a request's tensors, as far as they follow from the shapes of its inputs."""

from collections.abc import Iterable, Mapping

from mopar.types import InputRange, RequestError, TensorSpec, TensorValue, dtype_of_name, element_count, format_shape

Shape = tuple[int, ...]


def check_values(specs: Iterable[TensorSpec], values: Mapping[str, TensorValue]) -> None:
    """Hold a request's values against what the model takes, before anything is allocated or run.

    Raises:
        RequestError: one is missing, unknown, of another element type, or of a shape that does not fit.
    """
    by_name = {spec.name: spec for spec in specs}
    takes = f"the model takes {', '.join(by_name) or 'no inputs'}"
    for name, spec in by_name.items():
        if name not in values:
            raise RequestError(f"input {name} is missing: {takes}")
        if values[name].dtype != spec.dtype:
            raise RequestError(f"input {name} is {values[name].dtype}, the model takes {spec.dtype}")
    for name in values:
        if name not in by_name:
            raise RequestError(f"input {name} is unknown: {takes}")
    bind_dimensions(by_name.values(), {name: value.shape for name, value in values.items()})


def check_ranges(ranges: Iterable[InputRange], values: Mapping[str, TensorValue]) -> None:
    """Hold a request's sizes against those that functions have memory for.

    Raises:
        RequestError: an input is larger, or smaller, than what was planned for; it says how to plan for it.
    """
    for item in ranges:
        shape = values[item.name].shape
        if not item.holds(shape):
            planned = item.text if item.stated else f"{item.name} of at most {format_shape(item.largest)}"
            raise RequestError(
                f"input {item.name} is {format_shape(shape)}, this bundle was planned for {planned}: "
                f"profile, plan and build it again with --input {item.widened(shape)}"
            )


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
    """Bytes of a tensor; None for strings, whose size is not a matter of shape."""
    kind = dtype_of_name(dtype)
    return kind.nbytes(element_count(shape)) if kind.bits else None


def _misfit(spec: TensorSpec, shape: Shape) -> RequestError:
    return RequestError(
        f"input {spec.name} has shape {format_shape(shape)}, the model takes {format_shape(spec.shape)}"
    )
