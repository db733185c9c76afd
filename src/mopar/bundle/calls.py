"""A manifest's calls and those of its plan: the same ones, each input now one stretch of bytes."""

from mopar.types import BundleError, Call, CallInput, Manifest, Source

Form = tuple[CallInput, ...]
"""Inputs that a graph puts together itself, whoever makes their sources."""


def part_name(tensor: str, index: int) -> str:
    """Name of the graph input that takes source ``index`` of a joined or cut input."""
    return f"{tensor}/part{index}"


def graph_name(function: str, graph: str, form: int | None) -> str:
    """Name of what a function holds of a plan's graph; ``form`` numbers those that put inputs together themselves."""
    return f"{function}-{graph}" + ("" if form is None else f"-form{form}")


def form_of(item: CallInput) -> CallInput:
    """An input whoever made it: two calls with equal forms share a graph."""
    sources = tuple(Source("", item.tensor, source.region) for source in item.sources)
    return CallInput(item.tensor, sources, item.combine, item.axis)


def check_calls(manifest: Manifest) -> None:
    """See that each call is what the plan's call of that place becomes, and runs the graph that was made for it.

    Two graphs of one function can take and give the same: which one a call runs must follow from the plan.

    Raises:
        BundleError: the first call that is another one, or a graph or function that no call runs.
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
    """The planned call's inputs, with those put together by the graph that ``call`` does not take as they are."""
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
