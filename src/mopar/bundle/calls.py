"""The correspondence of a manifest's calls to its plan's: in a manifest each input is one contiguous range of bytes."""

from mopar.types import BundleError, Call, CallInput, Manifest, Source

Form = tuple[CallInput, ...]
"""Inputs that a graph assembles of several sources itself, independent of their producers."""


def part_name(tensor: str, index: int) -> str:
    """Name of the graph input for source ``index`` of an input that is joined or sliced in the graph."""
    return f"{tensor}/part{index}"


def graph_name(function: str, graph: str, form: int | None) -> str:
    """Name of a function's file of a plan's graph; ``form`` numbers the variants that assemble inputs themselves."""
    return f"{function}-{graph}" + ("" if form is None else f"-form{form}")


def form_of(item: CallInput) -> CallInput:
    """An input without its producers: two calls with equal forms share a graph."""
    sources = tuple(Source("", item.tensor, source.region) for source in item.sources)
    return CallInput(item.tensor, sources, item.combine, item.axis)


def check_calls(manifest: Manifest) -> None:
    """Check that each call is the lowered form of the plan's call at its index, and runs the graph built for it.

    Two graphs of one function may have equal inputs and outputs, so which one a call runs must follow from the plan.

    Raises:
        BundleError: a call is not the plan's, or no call runs some graph or function.
    """
    names: dict[tuple[str, str, Form], str] = {}
    for call, planned in zip(manifest.calls, manifest.plan.calls, strict=True):
        inputs, form = _lowered(call, planned)
        if (call.function, call.inputs, call.outputs) != (planned.function, inputs, planned.outputs):
            raise BundleError(f"call {call.id} is not the plan's")
        key = planned.function, planned.graph, form
        number = len(names) if form else None
        name = names.setdefault(key, graph_name(planned.function, planned.graph, number))
        if call.graph != name and (form or call.graph != planned.graph):
            raise BundleError(f"call {call.id} runs graph {call.graph}, not {name}")
    called = {call.graph for call in manifest.calls}
    for graph in manifest.graphs:
        if graph.id not in called:
            raise BundleError(f"graph {graph.id} is never called")
    for function in manifest.plan.functions:
        if all(call.function != function.name for call in manifest.calls):
            raise BundleError(f"function {function.name} is never called")


def _lowered(call: Call, planned: Call) -> tuple[tuple[CallInput, ...], Form]:
    """The inputs of the planned call after lowering, and the form: inputs that the graph of ``call`` assembles."""
    inputs: list[CallInput] = []
    form: list[CallInput] = []
    for item in planned.inputs:
        if item in call.inputs:
            inputs.append(item)
            continue
        form.append(form_of(item))
        for index, source in enumerate(item.sources):
            inputs.append(CallInput(part_name(item.tensor, index), (Source(source.producer, source.tensor),)))
    return tuple(inputs), tuple(form)
