"""Outputs that a function sends, held to its graph before anything uses them."""

from collections.abc import Sequence

from mopar.bundle.call_shapes import Shape, tensor_bytes
from mopar.runtime.strings import count_strings
from mopar.types import TensorSpec, TensorValue, dtype_of_name, element_count, format_shape, oip_of


class MalformedError(Exception):
    """An answer does not fit the graph's outputs."""


def checked_shape(datatype: str, dims: Sequence[int], spec: TensorSpec, shape: Shape | None) -> Shape:
    """The shape of an output.

    Args:
        datatype: as the answer has it, a name of the Open Inference Protocol.
        dims: the same.
        spec: of the graph's output.
        shape: that it has to have; None where it does not follow from the inputs' shapes.

    Raises:
        MalformedError: type or shape are not the output's.
    """
    dtype, got = dtype_of_name(spec.dtype), tuple(dims)
    if datatype != oip_of(dtype):
        raise MalformedError(f"output {spec.name} is {datatype[:20]}, not {oip_of(dtype)}")
    if any(dim < 0 for dim in got) or not _fits(got, spec, shape):
        expected = format_shape(spec.shape if shape is None else shape)
        raise MalformedError(f"output {spec.name} has shape {format_shape(got)}, not {expected}")
    return got


def checked_output(
    datatype: str, dims: Sequence[int], spec: TensorSpec, shape: Shape | None, data: bytes | memoryview
) -> TensorValue:
    """An output with its data; arguments and errors as of ``checked_shape``."""
    return checked_data(TensorValue(spec.name, spec.dtype, checked_shape(datatype, dims, spec, shape), data))


def checked_data(value: TensorValue) -> TensorValue:
    """An output whose data fit its shape. Raises MalformedError where they do not."""
    needed, data = tensor_bytes(value.dtype, value.shape), value.data
    if needed is None:
        _check_strings(value.name, data, element_count(value.shape))
    elif needed != len(data):
        raise MalformedError(f"output {value.name} has {len(data)} bytes, its shape needs {needed}")
    return value


def _fits(got: Shape, spec: TensorSpec, shape: Shape | None) -> bool:
    if shape is not None:
        return got == shape
    if spec.shape is None:
        return True
    return len(got) == len(spec.shape) and all(
        dim == size for dim, size in zip(spec.shape, got, strict=True) if isinstance(dim, int)
    )


def _check_strings(name: str, data: bytes | bytearray | memoryview, count: int) -> None:
    try:
        found = count_strings(data)
    except ValueError as cause:
        raise MalformedError(f"output {name}: {cause}") from cause
    if found != count:
        raise MalformedError(f"output {name} has {found} strings, its shape holds {count}")
