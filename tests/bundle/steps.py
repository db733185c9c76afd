"""Bundles whose functions compute in parallel steps and exchange tensors between them."""

from collections.abc import Callable, Sequence
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

Write = Callable[[Path, int, int, Sequence[str], str], object]
"""Writes a graph's file: path, step, part, the names of its inputs in order, and of its output."""

MEMORY_MIB = 400


def stepped(
    root: Path, write: Write, given: Sequence[TensorSpec], made: TensorSpec, *, parts: int = 2, steps: int = 3
) -> Bundle:
    """Functions ``f0``.. with a call ``c{step}_{part}`` in each step, which produces ``t{step}_{part}``.

    Args:
        root: an empty folder.
        write: writes each call's graph, which reads ``given`` and, from the second step on, the outputs of all parts in
            the step before.
        given: inputs of the model.
        made: spec of each call's output, whose name is replaced; the model's outputs are those of the last step.
        parts: number of functions.
        steps: number of calls of each.
    """
    root.mkdir(exist_ok=True)
    entries, graphs, calls = [], [], []
    before: list[tuple[TensorSpec, str]] = []
    for step in range(steps):
        reads = [(spec, REQUEST) for spec in given] + before
        before = []
        for part in range(parts):
            name, home = f"{step}_{part}", f"f{part}"
            gift = TensorSpec(f"t{name}", made.dtype, made.shape)
            path = root / f"g{name}.onnx"
            names = tuple(spec.name for spec, _ in reads)
            write(path, step, part, names, gift.name)
            files, inputs = file_entries(root, (path,)), tuple(spec for spec, _ in reads)
            entries.append(GraphEntry(f"g{name}", home, inputs, (gift,), files, EngineOptions(), None))
            graphs.append(Graph(f"g{name}", step, step + 1, names, (gift.name,)))
            taken = tuple(CallInput(spec.name, (Source(producer, spec.name),)) for spec, producer in reads)
            calls.append(Call(f"c{name}", home, f"g{name}", taken, (gift.name,)))
            before.append((gift, f"c{name}"))
    plan = _plan(parts, graphs, calls, [(spec.name, call) for spec, call in before])
    outputs = tuple(spec for spec, _ in before)
    manifest = Manifest("steps", plan, tuple(given), outputs, tuple(entries), tuple(calls), mopar.__version__)
    return Bundle(root, manifest)


def _plan(parts: int, graphs: Sequence[Graph], calls: Sequence[Call], outputs: Sequence[tuple[str, str]]) -> Plan:
    held = {f"f{part}": tuple(call.graph for call in calls if call.function == f"f{part}") for part in range(parts)}
    functions = tuple(Function(name, ids, MEMORY_MIB, 1.0) for name, ids in held.items())
    figures = tuple(PredictedFunction(name, 30.0, 1.0, 1.0, 10.0) for name in held)
    predicted = Predicted(1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0, figures)
    return Plan(
        model="steps",
        graph_sha256="",
        platform="local",
        prices="paper",
        objective="cuts",
        verdict="split",
        reason="made by hand",
        functions=functions,
        graphs=tuple(graphs),
        calls=tuple(calls),
        outputs=tuple(outputs),
        predicted=predicted,
        unsplit=predicted,
    )
