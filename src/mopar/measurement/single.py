"""One graph in one function, without a plan: what baselines and machine constants are measured on."""

from collections.abc import Iterable
from pathlib import Path

import mopar
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
        files: of each function, the ONNX file first, then its weights, in the first one's folder or below.
        boundaries: what the request gives, what crosses after each function, and the last the answer.
        options: how each file is loaded.
        memory_mib: limit of each function.
    """
    root = files[0][0].parent
    functions, graphs, calls, entries = [], [], [], []
    for i, paths in enumerate(files):
        inputs, outputs = boundaries[i], boundaries[i + 1]
        names = tuple(spec.name for spec in inputs), tuple(spec.name for spec in outputs)
        producer = REQUEST if i == 0 else f"c{i - 1}"
        taken = tuple(CallInput(tensor, (Source(producer, tensor),)) for tensor in names[0])
        functions.append(Function(f"f{i}", (f"g{i}",), memory_mib, 1.0))
        graphs.append(Graph(f"g{i}", i, i + 1, *names))
        calls.append(Call(f"c{i}", f"f{i}", f"g{i}", taken, names[1]))
        entries.append(GraphEntry(f"g{i}", f"f{i}", inputs, outputs, file_entries(root, paths), options, None))
    answers = tuple((spec.name, f"c{len(files) - 1}") for spec in boundaries[-1])
    verdict = "unsplit" if len(files) == 1 else "split"
    plan = Plan(
        model=name,
        graph_sha256="",
        platform="local",
        prices="paper",
        objective="cuts",
        verdict=verdict,
        reason="made for a measurement",
        functions=tuple(functions),
        graphs=tuple(graphs),
        calls=tuple(calls),
        outputs=answers,
        predicted=nothing_of(functions),
        unsplit=nothing_of(functions),
    )
    manifest = Manifest(
        name=name,
        plan=plan,
        inputs=boundaries[0],
        outputs=boundaries[-1],
        graphs=tuple(entries),
        calls=tuple(calls),
        mopar=mopar.__version__,
    )
    return Bundle(root, manifest)
