"""Handmade plans and their bundles."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from mopar.bundle import Bundle, build, open_bundle
from mopar.graph import Model, boundary, cut_positions, layers_of, load_model
from mopar.types import REQUEST, Call, CallInput, Function, Graph, Plan, Predicted, PredictedFunction, Source

MEMORY_MIB = 400


def chain(model: Model, places: Sequence[int] = (), memory_mib: int = MEMORY_MIB) -> Plan:
    """One function after the other, cut before ``places``; tensors are read from the calls that produce them."""
    layers = layers_of(model)
    made = {spec.name: REQUEST for spec in model.inputs}
    graphs, calls = [], []
    for number, (start, stop) in enumerate(itertools.pairwise([0, *places, len(layers)])):
        specs = boundary(model, layers, start, stop)
        inputs, outputs = (tuple(spec.name for spec in side) for side in specs)
        graphs.append(Graph(f"g{number}", start, stop, inputs, outputs))
        taken = tuple(CallInput(name, (Source(made[name], name),)) for name in inputs)
        calls.append(Call(f"c{number}", f"f{number}", f"g{number}", taken, outputs))
        made.update(dict.fromkeys(outputs, f"c{number}"))
    return plan_of(model, graphs, calls, made, memory_mib)


def plan_of(
    model: Model, graphs: Sequence[Graph], calls: Sequence[Call], made: Mapping[str, str], memory_mib: int = MEMORY_MIB
) -> Plan:
    """A plan of these graphs and calls; each graph belongs to the functions of the calls that run it."""
    held: dict[str, list[str]] = {}
    for call in calls:
        if call.graph not in held.setdefault(call.function, []):
            held[call.function].append(call.graph)
    functions = tuple(Function(name, tuple(ids), memory_mib, 1.0) for name, ids in held.items())
    figures = tuple(PredictedFunction(function.name, 30.0, 1.0, 1.0, 10.0) for function in functions)
    predicted = Predicted(1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0, figures)
    return Plan(
        model=model.name,
        graph_sha256=model.graph_sha256,
        platform="local",
        prices="paper",
        objective="cuts",
        verdict="split",
        reason="made by hand",
        functions=functions,
        graphs=tuple(graphs),
        calls=tuple(calls),
        outputs=tuple((spec.name, made[spec.name]) for spec in model.outputs),
        predicted=predicted,
        unsplit=predicted,
    )


def some_cuts(model: Model, count: int) -> list[int]:
    """Up to ``count`` cut positions, spread over the model."""
    places = [cut.index for cut in cut_positions(model, layers_of(model))]
    if len(places) <= count:
        return places
    return sorted({places[(2 * i + 1) * len(places) // (2 * count)] for i in range(count)})


def built(path: Path, out: Path, pieces: int = 3) -> Bundle:
    """The bundle of a model cut into up to ``pieces``."""
    model = load_model(path)
    build(model, chain(model, some_cuts(model, pieces - 1)), out)
    return open_bundle(out)
