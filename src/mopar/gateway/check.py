"""Checks of a request against the model's inputs, before anything is allocated or run."""

from collections.abc import Iterable, Mapping

from mopar.bundle.call_shapes import bind_dimensions
from mopar.types import InputRange, RequestError, TensorSpec, TensorValue, format_shape


def check_values(specs: Iterable[TensorSpec], values: Mapping[str, TensorValue]) -> None:
    """Check a request's values against the model's inputs.

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
    """Check a request's sizes against the range that functions have memory for.

    Raises:
        RequestError: an input is outside of the planned range; the message says how to plan for it.
    """
    for item in ranges:
        shape = values[item.name].shape
        if not item.holds(shape):
            planned = item.text if item.stated else f"{item.name} of at most {format_shape(item.largest)}"
            raise RequestError(
                f"input {item.name} is {format_shape(shape)}, this bundle was planned for {planned}: "
                f"profile, plan and build it again with --input {item.widened(shape)}"
            )
