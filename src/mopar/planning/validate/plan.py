"""Checks of plans, which may come from files."""

from collections import Counter
from collections.abc import Iterable, Sequence

from mopar.planning.model.shape import call_shares
from mopar.planning.validate.ranges import check_ranges
from mopar.planning.validate.sources import check_sources
from mopar.types import REQUEST, Graph, GraphPart, Plan, Share, UsageError

_FEWEST = 2


def check_plan(plan: Plan, n_layers: int) -> None:
    """Check a plan against itself and the number of layers.

    Every layer is in exactly one graph and every graph in exactly one function and some call; names are unique; calls
    read tensors of the request or of earlier calls that produce them.

    Raises:
        UsageError: the first violation.
    """
    _unique("function", (function.name for function in plan.functions))
    _unique("graph", (graph.id for graph in plan.graphs))
    _unique("call", (call.id for call in plan.calls))
    _check_layers(plan.graphs, n_layers)
    _check_functions(plan)
    check_ranges(plan.ranges, None, UsageError)
    outputs = _check_calls(plan)
    shares = _shares(plan)
    for tensor, producer in plan.outputs:
        if shares.get((producer, tensor), Share(tensor)) != Share(tensor):
            raise UsageError(f"plan: call {producer!r} makes a part of output {tensor!r} alone")
        if producer != REQUEST and tensor not in outputs.get(producer, ()):
            raise UsageError(f"plan: output {tensor!r} is not made by call {producer!r}")


def _shares(plan: Plan) -> dict[tuple[str, str], Share]:
    """The share of each tensor that each call produces; nothing for calls of unknown graphs."""
    graphs = {graph.id: graph for graph in plan.graphs}
    return call_shares(graphs, [call for call in plan.calls if call.graph in graphs])


def _unique(what: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1 or not name or name == REQUEST:
            raise UsageError(f"plan: {what} name {name!r} is used {count} times, or reserved")


def _check_layers(graphs: tuple[Graph, ...], n_layers: int) -> None:
    upto = 0
    runs: dict[tuple[int, int], list[Graph]] = {}
    for graph in sorted(graphs, key=lambda graph: (graph.start, graph.stop)):
        runs.setdefault((graph.start, graph.stop), []).append(graph)
    for (start, stop), held in runs.items():
        if start != upto or stop <= start:
            raise UsageError(f"plan: graph {held[0].id!r} holds layers {start} to {stop}, expected to start at {upto}")
        upto = stop
        _check_parts(held)
    if upto != n_layers:
        raise UsageError(f"plan: the graphs end at layer {upto}, the model has {n_layers}")


def _check_parts(graphs: Sequence[Graph]) -> None:
    """Check graphs of one run of layers: a single whole one, or different parts of the same number of parts."""
    if len(graphs) == 1 and graphs[0].part is None:
        return
    places = [(graph.part.index, graph.part.count) for graph in graphs if graph.part is not None]
    counts = {count for _, count in places}
    if len(places) < len(graphs) or len(set(places)) < len(places) or len(counts) != 1:
        raise UsageError(f"plan: graphs {', '.join(graph.id for graph in graphs)} hold the same layers")
    if not all(0 <= index < count for index, count in places):
        raise UsageError(f"plan: graph {graphs[0].id!r}: there is no such part of {max(counts)}")
    for graph in graphs:
        assert graph.part is not None
        _check_part(graph.id, graph.part)
        for shares, names in ((graph.part.inputs, graph.inputs), (graph.part.outputs, graph.outputs)):
            if tuple(share.tensor for share in shares) != names:
                raise UsageError(f"plan: graph {graph.id!r}: its shares are not of the tensors that it takes and gives")


def _check_part(graph: str, part: GraphPart) -> None:
    if part.count < _FEWEST:
        raise UsageError(f"plan: graph {graph!r} is a part of {part.count}")
    for share in (*part.inputs, *part.outputs):
        whole = share.axis is None and share.start == share.stop == 0
        along = share.axis is not None and share.axis >= 0 and 0 <= share.start < share.stop and not share.summand
        if not whole and not along:
            raise UsageError(f"plan: graph {graph!r}: there is no such share of {share.tensor!r}: {share}")
    for share in part.inputs:
        if share.summand:
            raise UsageError(f"plan: graph {graph!r} takes a summand of {share.tensor!r}: it takes the sum")


def _check_functions(plan: Plan) -> None:
    held = Counter(graph for function in plan.functions for graph in function.graphs)
    known = {graph.id for graph in plan.graphs}
    for name in held.keys() ^ known:
        raise UsageError(f"plan: graph {name!r} is in no function, or unknown")
    for name, count in held.items():
        if count > 1:
            raise UsageError(f"plan: graph {name!r} is in {count} functions")
    places = {graph.id: (graph.start, graph.stop) for graph in plan.graphs}
    for function in plan.functions:
        if len({places[name] for name in function.graphs}) < len(function.graphs):
            raise UsageError(f"plan: function {function.name!r} holds two parts of the same layers")
    predicted = {figures.name for figures in plan.predicted.functions}
    for function in plan.functions:
        if not function.is_possible():
            raise UsageError(f"plan: function {function.name!r} needs memory_mib, cpu, threads over 0, within reason")
        if function.name not in predicted:
            raise UsageError(f"plan: nothing is predicted of function {function.name!r}")


def _check_calls(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Outputs of each call; checks all calls."""
    graphs = {graph.id: graph for graph in plan.graphs}
    held = {function.name: function.graphs for function in plan.functions}
    made: dict[str, tuple[str, ...]] = {}
    shares = _shares(plan)
    for call in plan.calls:
        if call.graph not in held.get(call.function, ()):
            raise UsageError(f"plan: call {call.id!r} runs graph {call.graph!r}, not in function {call.function!r}")
        graph = graphs[call.graph]
        if tuple(item.tensor for item in call.inputs) != graph.inputs or call.outputs != graph.outputs:
            raise UsageError(f"plan: call {call.id!r} takes or gives other tensors than graph {graph.id!r}")
        check_sources(call, graph, made, shares)
        made[call.id] = call.outputs
    for name in graphs.keys() - {call.graph for call in plan.calls}:
        raise UsageError(f"plan: graph {name!r} is never called")
    return made
