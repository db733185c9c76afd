"""A model as one call of one function, which runs the whole plan itself."""

from dataclasses import replace

from mopar.types import REQUEST, Call, CallInput, EngineOptions, Function, Graph, GraphEntry, Manifest, Source

_CALL = "whole"


def whole_graph(manifest: Manifest, function: str) -> GraphEntry:
    """The model's inputs and outputs as those of a graph that a function has; there is no file of it."""
    return GraphEntry(manifest.name, function, manifest.inputs, manifest.outputs, (), EngineOptions(), None)


def single_call(manifest: Manifest, function: str) -> Manifest:
    """The manifest of the same model with one call: of the function that runs the plan."""
    graph = whole_graph(manifest, function)
    inputs, outputs = (tuple(spec.name for spec in specs) for specs in (graph.inputs, graph.outputs))
    read = tuple(CallInput(name, (Source(REQUEST, name),)) for name in inputs)
    call = Call(_CALL, function, graph.id, read, outputs)
    plan = replace(
        manifest.plan,
        functions=(Function(function, (graph.id,), 0, 0.0),),
        graphs=(Graph(graph.id, 0, 0, inputs, outputs),),
        calls=(call,),
        outputs=tuple((name, _CALL) for name in outputs),
        codecs={},
    )
    return replace(manifest, plan=plan, graphs=(graph,), calls=(call,), codes={})
