"""Every tensor's shape at the measured point, from a run of the unoptimised graph.

A run knows what no inference does: sizes that depend on data. The engine's profiler reports the shape
of each tensor that a node takes and makes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mopar.engine.trace import KernelEvent
from mopar.graph import Model, tensor_shapes
from mopar.profiling.inputs import Array
from mopar.types import ProfileError, TensorSpec, dtype_of_name, element_count

_STRING_BYTES = 16
"""Taken for an element of a string tensor, whose size no profile tells."""


@dataclass(frozen=True, slots=True)
class Point:
    """A tensor at the measured point: element type, shape, bytes."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int


def tensor_points(model: Model, inputs: Mapping[str, Array], events: Sequence[KernelEvent]) -> dict[str, Point]:
    """Name -> point, for the model's inputs and what its nodes make.

    Sequences, optionals and what no node reported are left out.

    Args:
        model: in canonical form.
        inputs: the values that it ran on.
        events: one run of the canonical graph, unoptimised.
    """
    specs = tensor_shapes(model)
    shapes = {spec.name: tuple(inputs[spec.name].shape) for spec in model.inputs}
    symbols = _symbols(model, shapes)
    by_node = {event.node: event for event in events}
    for index, node in enumerate(model.nodes):
        event = by_node.get(index)
        if event is not None and event.name == node.name:
            _note(shapes, node.inputs, event.inputs)
            _note(shapes, node.outputs, event.outputs)
    for name, spec in specs.items():
        known = _static(spec, symbols)
        if name not in shapes and known is not None:
            shapes[name] = known
    return {name: _point(specs[name].dtype, shape) for name, shape in shapes.items() if name in specs}


def point_of(points: Mapping[str, Point], name: str) -> Point:
    """The point of a tensor that a plan would move. Raises ProfileError where no run told its shape."""
    try:
        return points[name]
    except KeyError:
        raise ProfileError(f"tensor {name!r}: the measured run did not make it; give other --inputs") from None


def _note(
    shapes: dict[str, tuple[int, ...]],
    values: Iterable[ir.Value | None],
    reported: Sequence[tuple[str, tuple[int, ...]]],
) -> None:
    """Match values with what the profiler reports, which leaves out absent values and non-tensors."""
    named = [value for value in values if value is not None and value.name]
    tensors = [value for value in named if value.type is None or isinstance(value.type, ir.TensorType)]
    if len(tensors) != len(reported):
        return
    for value, (_, shape) in zip(tensors, reported, strict=True):
        if not value.is_initializer():
            shapes.setdefault(str(value.name), shape)


def _symbols(model: Model, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    return {
        dim: size
        for spec in model.inputs
        for dim, size in zip(spec.shape or (), shapes[spec.name], strict=False)
        if isinstance(dim, str)
    }


def _static(spec: TensorSpec, symbols: Mapping[str, int]) -> tuple[int, ...] | None:
    """A shape that inference knows; None where a dimension stays open."""
    if spec.shape is None:
        return None
    sizes = [symbols.get(dim) if isinstance(dim, str) else dim for dim in spec.shape]
    known = tuple(size for size in sizes if size is not None)
    return known if len(known) == len(sizes) else None


def _point(dtype: str, shape: tuple[int, ...]) -> Point:
    count = element_count(shape)
    size = count * _STRING_BYTES if dtype == "string" else dtype_of_name(dtype).nbytes(count)
    return Point(dtype, shape, size)
