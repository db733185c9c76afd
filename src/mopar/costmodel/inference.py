"""Every tensor's shape at a point of the inputs, by inference: of the model, only what makes constants runs."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from mopar.engine.session import optimised_form
from mopar.graph import Model
from mopar.graph.canonical import folding_rounds
from mopar.graph.model import spec_of
from mopar.nodes import is_weight, reads_of
from mopar.profiling.points import Point
from mopar.types import TensorSpec, dtype_of_name, element_count

_STRING_BYTES = 16


@dataclass(frozen=True, slots=True)
class Inferred:
    """What inference tells of a model at one point.

    Attributes:
        optimised: the graph as the engine runs it, weights left out.
        shapes: of every tensor of that graph and of the canonical one whose size is known.
        points: the canonical graph's tensors, each with a size.
        assumed: those whose size is a bound (see ``infer``), because it depends on values.
    """

    optimised: ir.Model
    shapes: Mapping[str, tuple[int, ...]]
    points: Mapping[str, Point]
    assumed: tuple[str, ...]


def infer(model: Model, point: Mapping[str, tuple[int, ...]]) -> Inferred | None:
    """Shapes of a model whose inputs have the shapes of ``point``; None where the engine refuses the graph.

    A tensor whose size depends on values (the indices of what is not zero, the rows that a filter leaves) is taken
    to have as many elements as the largest tensor that its node reads.
    """
    optimised = optimised_form(model.ir)
    if optimised is None:
        return None
    shapes = dict(point)
    if any(isinstance(dim, str) or dim is None for spec in model.inputs for dim in spec.shape or (None,)):
        fixed = _fixed(model.ir, point)
        special = optimised_form(fixed)
        if special is not None:
            _note(shapes, _made(special))
        for _ in folding_rounds(fixed):  # what is computed from sizes alone is a constant at this point
            folded = fixed.graph.initializers.keys() - model.ir.graph.initializers.keys()
            _note(shapes, [*_made(fixed), *(fixed.graph.initializers[name] for name in folded)])
            RemoveUnusedNodesPass()(fixed)
    _note(shapes, _made(optimised))
    _note(shapes, _made(model.ir))
    points, assumed = _points(model, shapes)
    return Inferred(optimised, shapes, points, assumed)


def _fixed(model: ir.Model, point: Mapping[str, tuple[int, ...]]) -> ir.Model:
    """A copy whose inputs have the point's sizes; what was inferred with symbols is forgotten."""
    copy = model.clone()
    for value in copy.graph.inputs:
        value.shape = ir.Shape(point[str(value.name)])
    for node in copy.graph:
        for value in node.outputs:
            value.shape = None
    return copy


def _made(model: ir.Model) -> list[ir.Value]:
    return [value for node in model.graph for value in node.outputs if value.name]


def _note(shapes: dict[str, tuple[int, ...]], values: Iterable[ir.Value]) -> None:
    """Add what is known to the last dimension; what stands already stays."""
    for value in values:
        spec = spec_of(value)
        sizes = _sizes(spec)
        if spec is not None and sizes is not None:
            shapes.setdefault(spec.name, sizes)


def _sizes(spec: TensorSpec | None) -> tuple[int, ...] | None:
    if spec is None or spec.shape is None:
        return None
    known = tuple(dim for dim in spec.shape if isinstance(dim, int))
    return known if len(known) == len(spec.shape) else None


def _points(model: Model, shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Point], tuple[str, ...]]:
    points = {spec.name: _point(spec, shapes[spec.name]) for spec in model.inputs}
    assumed = []
    for node in model.nodes:
        read = [points[value.name] for value in reads_of(node, model.ir.graph) if value.name in points]
        bound = max((element_count(point.shape) for point in read), default=1)
        bound = max(bound, _largest_weight(node) if node.op_type == "Gather" else 0)
        for value in node.outputs:
            spec = spec_of(value) if value.name else None
            if spec is None:
                continue
            if spec.name in shapes:
                points[spec.name] = _point(spec, shapes[spec.name])
            else:
                points[spec.name] = _point(spec, _bounded(spec, bound))
                assumed.append(spec.name)
    return points, tuple(assumed)


def _largest_weight(node: ir.Node) -> int:
    stored = [value.const_value for value in node.inputs if value is not None and is_weight(value)]
    return max((tensor.size for tensor in stored if tensor is not None), default=0)


def _bounded(spec: TensorSpec, elements: int) -> tuple[int, ...]:
    """A shape of the spec's rank with about that many elements: its known sizes, the rest in the first open one."""
    if not spec.shape:
        return (elements,)
    known = [dim if isinstance(dim, int) else 1 for dim in spec.shape]
    position = next(place for place, dim in enumerate(spec.shape) if not isinstance(dim, int))
    known[position] = max(1, math.ceil(elements / max(1, element_count(known))))
    return tuple(known)


def _point(spec: TensorSpec, shape: tuple[int, ...]) -> Point:
    count = element_count(shape)
    size = count * _STRING_BYTES if spec.dtype == "string" else dtype_of_name(spec.dtype).nbytes(count)
    return Point(spec.dtype, shape, size)
