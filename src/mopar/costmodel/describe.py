"""A model as the engine will run it, known without running it: kernels, what each does, and its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mopar.costmodel.inference import Inferred, infer
from mopar.costmodel.packing import predicted_weights
from mopar.engine.kernels import Kernel, attribute_kernels
from mopar.engine.packed import StoredWeight
from mopar.engine.work.facts import node_facts
from mopar.engine.work.families import KernelWork, work_of
from mopar.graph import Layer, Model
from mopar.nodes import is_weight, name_of
from mopar.profiling.layer_times import layers_of_kernels
from mopar.profiling.layout import BlockedTensor, blocked_tensors
from mopar.types import ModelError, element_count

_REORDERINGS = {"ReorderInput", "ReorderOutput"}


@dataclass(frozen=True, slots=True)
class Described:
    """A model at a point.

    Attributes:
        inferred: its optimised graph and its tensors' sizes.
        kernels: of the optimised graph, in the order of its nodes.
        works: what each of them does.
        stored: the optimised graph's weights, packed as the engine packs them.
        blocked: tensors that the engine holds in blocks of channels, by name.
        working_bytes: weights that a run reads: what decides whether they stay in the last cache.
    """

    inferred: Inferred
    kernels: tuple[Kernel, ...]
    works: tuple[KernelWork, ...]
    stored: tuple[StoredWeight, ...]
    blocked: Mapping[str, BlockedTensor]
    working_bytes: float


def kernel_keys(graph: ir.Graph) -> list[tuple[str, ...]]:
    """What tells a kernel from the others of its graph, in every run of the engine's optimiser.

    The order of nodes, and the names of reorderings, differ from run to run.
    """
    seen: dict[tuple[str, ...], int] = {}
    keys = []
    for node in graph:
        reordering = node.op_type in _REORDERINGS
        names = [str(value.name) for value in node.inputs if value is not None] if reordering else [str(node.name)]
        key = (node.op_type, *names)
        seen[key] = seen.get(key, 0) + 1
        keys.append((*key, str(seen[key])))
    return keys


def kernel_shapes(model: Model, inferred: Inferred, kernels: Sequence[Kernel]) -> dict[str, tuple[int, ...]]:
    """Shapes of every tensor of the optimised graph, as far as they can be told.

    The engine infers none for what its own optimiser put in: there, a kernel makes what the last canonical node that
    it computes makes, and one that only changes the layout keeps its input's shape.
    """
    shapes = dict(inferred.shapes)
    made = {str(node.name): [inferred.points.get(value.name or "") for value in node.outputs] for node in model.nodes}
    for node, kernel in zip(inferred.optimised.graph, kernels, strict=True):
        unknown = [value for value in node.outputs if value.name and value.name not in shapes]
        if not unknown:
            continue
        taken = node.inputs[0] if node.inputs else None
        reshaped = _reshaped(node, shapes) if node.op_type == "Reshape" else None
        if reshaped is not None:
            shapes[str(unknown[0].name)] = reshaped
        elif kernel.layout_only and taken is not None and taken.name in shapes:
            shapes[str(unknown[0].name)] = _moved(node, shapes[taken.name])
        elif kernel.nodes and not kernel.layout_only:
            point = (made[kernel.nodes[-1]] or [None])[0]
            if point is not None:
                shapes[str(unknown[0].name)] = point.shape
    return shapes


def _reshaped(node: ir.Node, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    """What a Reshape makes, where its input and the shape that it asks for are known."""
    taken, wanted = node.inputs[0], node.inputs[1]
    before = shapes.get(str(taken.name)) if taken is not None else None
    if before is None or wanted is None or wanted.const_value is None:
        return None
    keeps = node.attributes.get("allowzero") is None or not node.attributes["allowzero"].as_int()
    sizes = [int(size) for size in wanted.const_value.numpy().ravel()]
    after = [before[axis] if size == 0 and keeps and axis < len(before) else size for axis, size in enumerate(sizes)]
    known = element_count([size for size in after if size >= 0])
    return tuple(element_count(before) // max(known, 1) if size < 0 else size for size in after)


def _moved(node: ir.Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    order = node.attributes.get("perm") if node.op_type == "Transpose" else None
    axes = order.as_ints() if order is not None else range(len(shape))
    return tuple(shape[axis] for axis in axes)


def _varies(model: Model) -> bool:
    """Whether requests may come in other shapes."""
    return any(spec.shape is None or any(not isinstance(dim, int) for dim in spec.shape) for spec in model.inputs)


def describe(model: Model, layers: Sequence[Layer], point: Mapping[str, tuple[int, ...]]) -> Described:
    """What running a model at a point of its inputs will be.

    Args:
        model: in canonical form.
        layers: of it.
        point: each input's shape.

    Raises:
        ModelError: the engine refuses the graph.
    """
    inferred = infer(model, point)
    if inferred is None:
        raise ModelError(f"{model.path.name}: ONNX Runtime cannot load it")
    graph = inferred.optimised.graph
    kernels = tuple(kernel for kernel in attribute_kernels(model.ir.graph, graph) if not kernel.nested)
    layer_of = layers_of_kernels(kernels, [layer.nodes for layer in layers])
    shapes = kernel_shapes(model, inferred, kernels)
    works = tuple(
        KernelWork(index, layer_of.get(index, -1), work_of(node_facts(node, shapes)))
        for index, node in enumerate(graph)
    )
    stored = predicted_weights(graph, {} if _varies(model) else shapes)
    read = {name_of(value) for node in graph for value in node.inputs if value is not None and is_weight(value)}
    working = sum(weight.resident_bytes for weight in stored if weight.name in read)
    return Described(inferred, kernels, works, stored, blocked_tensors(model, graph, kernels), float(working))
