"""The canonical form: an equivalent model in which equal computations are written in the same way."""

from collections.abc import Iterator

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    InlinePass,
    RemoveInitializersFromInputsPass,
    RemoveUnusedFunctionsPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
)

from mopar.engine.session import engine_types, skeleton_proto
from mopar.graph.constants import lift_constants
from mopar.graph.folding import check_constants, fold_constants
from mopar.nodes import name_of
from mopar.types import ModelError

_ROUNDS = 4


def canonicalise(model: ir.Model, what: str) -> None:
    """Rewrite a model in place.

    Local functions are inlined, constants are initializers of the main graph, shapes are inferred,
    constants folded, dead nodes removed, nodes named uniquely. Names of inputs and outputs, the
    opset and the order of nodes are kept. Common subexpressions are kept too: the engine eliminates
    them itself, and merging them here would only keep tensors live for longer.

    Raises:
        ModelError: the graph is not valid; the message begins with ``what`` and names the node or tensor.
    """
    ClearMetadataAndDocStringPass()(model)
    _inline(model)
    RemoveInitializersFromInputsPass()(model)
    _check_values(model, what)
    lift_constants(model)
    _own_outputs(model)
    _sort(model, what)
    RemoveUnusedNodesPass()(model)
    _forget_shapes(model)
    for _ in folding_rounds(model):
        RemoveUnusedNodesPass()(model)
    check_constants(model.graph, what)
    RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]
    RemoveUnusedOpsetsPass()(model)
    _name_nodes(model)


def _inline(model: ir.Model) -> None:
    try:
        InlinePass()(model)
    except (ValueError, ir.passes.PassError, ir.passes.PreconditionError):
        # A function of another opset or with subgraphs among its attributes: its calls stay single nodes.
        return


def _check_values(model: ir.Model, what: str) -> None:
    """Check that every value that is read has a producer, and that names are unique."""
    graph = model.graph
    seen: set[str] = set()
    for value in (*graph.inputs, *(output for node in graph for output in node.outputs if output.name)):
        if not value.name or value.name in seen:
            raise ModelError(f"{what}: the tensor name {value.name!r} is used twice")
        seen.add(value.name)
    if not all(value.name for body in model.graphs() for value in body.inputs):
        raise ModelError(f"{what}: an input of a body has no name")
    for node in graph.all_nodes():
        for read in node.inputs:
            if read is not None and read.graph is None and not read.is_initializer():
                raise ModelError(
                    f"{what}: node {node.name!r} ({node.op_type}) reads {read.name!r}, which nothing makes"
                )
    for value in graph.outputs:
        if value.producer() is None and not value.is_graph_input() and not value.is_initializer():
            raise ModelError(f"{what}: nothing makes the output {value.name!r}")


def _own_outputs(model: ir.Model) -> None:
    """Add a node for every output that is a stored constant, so that a layer produces it."""
    graph = model.graph
    for position, value in enumerate(graph.outputs):
        if not value.is_initializer() or value.is_graph_input():
            continue
        name = name_of(value)
        value.name = f"{name}/constant"
        output = ir.Value(name=name, shape=value.shape, type=value.type)
        graph.append(ir.Node("", "Identity", [value], outputs=[output]))
        graph.outputs[position] = output


def _sort(model: ir.Model, what: str) -> None:
    try:
        model.graph.sort()
    except ValueError as cause:
        raise ModelError(f"{what}: the graph has a cycle") from cause


def _forget_shapes(model: ir.Model) -> None:
    """Drop the shapes that the file declares for intermediate tensors.

    They are often stale: exported at one batch size, edited later. The engine ignores them, but as
    declared inputs of a slice they would make it refuse requests that the unsplit model accepts.
    """
    outputs = set(model.graph.outputs)
    for node in model.graph:
        for value in node.outputs:
            if value not in outputs:
                value.shape = None


def folding_rounds(model: ir.Model) -> Iterator[None]:
    """Infer shapes and fold constants in place; each makes the other know more, so again until nothing is folded."""
    for _ in range(_ROUNDS):
        infer_shapes(model)
        folded = fold_constants(model)
        yield
        if not folded:
            return


def infer_shapes(model: ir.Model) -> None:
    """Infer types and shapes with ONNX, and with the engine for operators that ONNX has no schema for."""
    _infer_with_onnx(model)
    unknown = {name_of(value): value for node in model.graph for value in node.outputs if value.name and not value.type}
    if unknown:
        for name, (dtype, shape) in engine_types(model, list(unknown)).items():
            unknown[name].type = ir.TensorType(dtype)
            unknown[name].shape = shape
        # With the engine's types, ONNX can infer the nodes that follow.
        _infer_with_onnx(model)


def _infer_with_onnx(model: ir.Model) -> None:
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton_proto(model), data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        # Whether the model is valid is decided when the engine loads it.
        pass
    else:
        _take_over(model, ir.from_proto(inferred))


def _take_over(model: ir.Model, inferred: ir.Model) -> None:
    """Fill in missing types and shapes of ``model``; a known dimension also replaces a symbol."""
    known = ir.convenience.create_value_mapping(inferred.graph, include_subgraphs=False)
    for node in model.graph:
        for value in node.outputs:
            other = known.get(value.name or "")
            if other is None:
                continue
            value.type = value.type if value.type is not None else other.type
            value.shape = _merged(value.shape, other.shape)


def _merged(shape: ir.Shape | None, other: ir.Shape | None) -> ir.Shape | None:
    if shape is None or other is None or len(shape) != len(other):
        return shape if shape is not None else other
    return ir.Shape([_better(mine, theirs) for mine, theirs in zip(shape, other, strict=True)])


def _better(mine: int | ir.SymbolicDim, theirs: int | ir.SymbolicDim) -> int | ir.SymbolicDim:
    """The more specific dimension: a number, then a symbol, then an unknown one; ``mine`` where they are equal."""
    if isinstance(mine, int) or (mine.value is not None and not isinstance(theirs, int)):
        return mine
    return theirs


def _name_nodes(model: ir.Model) -> None:
    """Give every node a unique name; unique names are kept."""
    taken: set[str] = set()
    for node in model.graph.all_nodes():
        outputs = (value.name for value in node.outputs if value.name)
        base = node.name or f"{node.op_type}:{next(outputs, '')}"
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        node.name = name
