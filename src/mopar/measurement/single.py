"""One graph in one function, without a plan: what baselines and machine constants are measured on."""

from collections.abc import Iterable
from pathlib import Path

from mopar import __version__
from mopar.bundle import Bundle, file_entries
from mopar.types import (
    REQUEST,
    Call,
    CallInput,
    EngineOptions,
    Function,
    Graph,
    GraphEntry,
    Manifest,
    Plan,
    Predicted,
    PredictedFunction,
    Source,
    TensorSpec,
)

UNLIMITED_MIB = 1 << 20


def nothing_of(functions: Iterable[Function]) -> Predicted:
    """The prediction where nothing is predicted of functions, which are named in it all the same."""
    each = tuple(PredictedFunction(function.name, 0.0, 0.0, 0.0, 0.0) for function in functions)
    return Predicted(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, each)


def chain_bundle(
    name: str,
    files: tuple[tuple[Path, ...], ...],
    boundaries: tuple[tuple[TensorSpec, ...], ...],
    options: EngineOptions,
    *,
    memory_mib: int = UNLIMITED_MIB,
) -> Bundle:
    """A bundle of functions one after the other, each with one graph, around files that exist already.

    Args:
        name: of the model.
        files: of each function, the ONNX file first, then its weights, in the first one's folder or below. What is to
            be written and opened again has ``g0.onnx``, ``g1.onnx`` and so on, as every bundle does.
        boundaries: what the request gives, what crosses after each function, and the last the answer.
        options: how each file is loaded.
        memory_mib: limit of each function.
    """
    root = files[0][0].parent
    spans = tuple(zip(files, boundaries, boundaries[1:], strict=False))
    graphs = tuple(Graph(f"g{i}", i, i + 1, _names(given), _names(made)) for i, (_, given, made) in enumerate(spans))
    calls = tuple(_call(i, graph) for i, graph in enumerate(graphs))
    functions = tuple(Function(f"f{i}", (graph.id,), memory_mib, 1.0) for i, graph in enumerate(graphs))
    plan = Plan(
        model=name,
        graph_sha256="",
        platform="local",
        prices="paper",
        objective="cuts",
        verdict="unsplit" if len(files) == 1 else "split",
        reason="made for a measurement",
        functions=functions,
        graphs=graphs,
        calls=calls,
        outputs=tuple((tensor, calls[-1].id) for tensor in graphs[-1].outputs),
        predicted=nothing_of(functions),
        unsplit=nothing_of(functions),
    )
    manifest = Manifest(
        name=name,
        plan=plan,
        inputs=boundaries[0],
        outputs=boundaries[-1],
        graphs=tuple(
            GraphEntry(f"g{i}", f"f{i}", given, made, file_entries(root, paths), options, None)
            for i, (paths, given, made) in enumerate(spans)
        ),
        calls=calls,
        mopar=__version__,
    )
    return Bundle(root, manifest)


def _names(specs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    return tuple(spec.name for spec in specs)


def _call(number: int, graph: Graph) -> Call:
    """The call of a graph whose inputs are the outputs of the one before."""
    producer = REQUEST if number == 0 else f"c{number - 1}"
    taken = tuple(CallInput(tensor, (Source(producer, tensor),)) for tensor in graph.inputs)
    return Call(f"c{number}", f"f{number}", graph.id, taken, graph.outputs)
