"""What a plan is expected to take: the one evaluation that search, verdicts and reports rest on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mopar.planning.arithmetic import (
    MIB,
    CallCosts,
    beside_ms,
    billed_ms,
    call_costs,
    call_usd,
    elapsed_ms,
    found_cold_ms,
    has_two_threads,
    init_ms,
    step_costs,
)
from mopar.planning.parts import Holding, moved_bytes, parts_of, share_bytes
from mopar.planning.shape import PlanShape, call_shares
from mopar.planning.sizes import inside_ms
from mopar.types import (
    REQUEST,
    Call,
    CallInput,
    Function,
    Graph,
    GraphPart,
    PlatformLimits,
    Predicted,
    PredictedFunction,
    PriceBook,
    Profile,
    Share,
    Source,
)


@dataclass(frozen=True, slots=True)
class _Timed:
    """A call's times in ms: computing, all that passes inside the function, its bill, and the whole call."""

    compute_ms: float
    inside_ms: float
    billed_ms: float
    total_ms: float
    need_gb_s: float


def evaluate(profile: Profile, book: PriceBook, limits: PlatformLimits, shape: PlanShape) -> Predicted:
    """The prediction for ``shape``: every call's time and price, and the longest path through the calls.

    Calls that do not wait for each other run side by side. Functions hold no more than one call at a time; a
    plan that calls one function twice at once is not a plan.

    Raises:
        KeyError: the shape names a tensor, function or graph that it or the profile does not have;
            ``check_plan`` says so in the user's words.
    """
    functions = {function.name: function for function in shape.functions}
    graphs = {graph.id: graph for graph in shape.graphs}
    made = call_shares(graphs, shape.calls)
    timing = _Timing(profile, book, limits, made)
    first, further = call_costs(profile, limits), step_costs(profile, limits)
    begins = _beginnings(shape, graphs)
    timed = {
        call.id: timing.of(
            call,
            functions[call.function],
            graphs[call.graph],
            first if graphs[call.graph].start == begins[call.function] else further,
        )
        for call in shape.calls
    }
    per_function: dict[str, list[_Timed]] = defaultdict(list)
    for call in shape.calls:
        per_function[call.function].append(timed[call.id])
    holding = Holding(profile)
    predicted = tuple(
        _function(
            profile, holding, [graphs[graph] for graph in function.graphs], function.name, per_function[function.name]
        )
        for function in shape.functions
    )
    init = {entry.name: entry.init_ms for entry in predicted}
    usd = gb_s = compute_gb_s = 0.0
    for function in shape.functions:
        memory_mib = float(function.memory_mib)
        for call_time in per_function[function.name]:
            usd += call_usd(book, memory_mib, function.cpu, call_time.billed_ms, init[function.name])
            gb_s += memory_mib / 1024 * call_time.billed_ms / 1000
            compute_gb_s += memory_mib / 1024 * call_time.compute_ms / 1000
    need_gb_s = sum(entry.need_gb_s for entry in timed.values())
    return Predicted(
        latency_ms=_longest_path_ms(shape, timed),
        gb_s_per_request=gb_s,
        cost_per_million_usd=usd * 1e6,
        efficiency=need_gb_s / gb_s if gb_s > 0 else 0.0,
        compute_gb_s=compute_gb_s,
        communication_gb_s=gb_s - compute_gb_s,
        memory_mib=sum(function.memory_mib for function in shape.functions),
        functions=predicted,
    )


def _beginnings(shape: PlanShape, graphs: Mapping[str, Graph]) -> dict[str, int]:
    """For each function, the layer at which it, or those that compute a slice with it, begin."""
    begins = {function.name: min(graphs[graph].start for graph in function.graphs) for function in shape.functions}
    owner = {graph: function.name for function in shape.functions for graph in function.graphs}
    together: dict[tuple[int, int], list[str]] = defaultdict(list)
    for graph in shape.graphs:
        together[graph.start, graph.stop].append(owner[graph.id])
    for names in together.values():
        begins.update(dict.fromkeys(names, min(begins[name] for name in names)))
    return begins


class _Timing:
    """Times calls of one profile under one price book."""

    def __init__(
        self, profile: Profile, book: PriceBook, limits: PlatformLimits, made: Mapping[tuple[str, str], Share]
    ) -> None:
        self._profile, self._book, self._made = profile, book, made
        self._elapsed_ms = elapsed_ms(profile)
        self._elapsed_two_ms = elapsed_ms(profile, 2) if has_two_threads(profile) else self._elapsed_ms
        self._beside_ms = beside_ms(profile, limits)
        self._overhead_ms = {cut.index: cut.overhead_ms for cut in profile.cut_positions}
        self._tensors = {tensor.name: tensor for tensor in profile.tensors}
        self._parts = parts_of(profile)

    def of(self, call: Call, function: Function, graph: Graph, costs: CallCosts) -> _Timed:
        """A call's times, at the costs of a call or of a further step."""
        entering = sum(self._entering(item) for item in call.inputs)
        made = [self._made[call.id, name] for name in call.outputs]
        leaving = sum(moved_bytes(self._tensors[share.tensor], share, graph.part) for share in made)
        body_mib = (entering + leaving) / MIB
        one, two = (
            self._unlimited_ms(elapsed, graph, body_mib, costs) for elapsed in (self._elapsed_ms, self._elapsed_two_ms)
        )
        inside = inside_ms(one, two, function.cpu, float(function.threads))
        stretch = inside / one if one > 0 else 1.0
        _, woken = found_cold_ms(costs, self._compute_ms(self._elapsed_ms, graph), self._elapsed_ms[-1])
        outside = costs.outside_ms + woken + body_mib * costs.outside_ms_per_mib
        return _Timed(
            compute_ms=self._compute_ms(self._elapsed_ms, graph) * stretch,
            inside_ms=inside,
            billed_ms=billed_ms(self._book, inside),
            total_ms=inside + outside,
            need_gb_s=self._need_gb_s(graph) * stretch,
        )

    def _entering(self, item: CallInput) -> float:
        """Of an input; of summands one, since the others are charged to those who make them."""
        sources = item.sources[:1] if item.combine == "sum" else item.sources
        return sum(self._bytes(source) for source in sources)

    def _bytes(self, source: Source) -> float:
        """Of a source: its share's, or its region's part of it."""
        share = self._made.get((source.producer, source.tensor), Share(source.tensor))
        held, region = self._share_bytes(share), source.region
        if region is None:
            return held
        size = share.stop - share.start if share.axis == region.axis else self._tensors[share.tensor].shape[region.axis]
        return held * (region.stop - region.start) / size

    def _share_bytes(self, share: Share) -> float:
        return share_bytes(self._tensors[share.tensor], share)

    def _compute_ms(self, elapsed: Sequence[float], graph: Graph) -> float:
        return self._engine_ms(elapsed, graph) + self._overhead_ms.get(graph.start, 0.0)

    def _engine_ms(self, elapsed: Sequence[float], graph: Graph) -> float:
        """What its layers take; of a part, its share of them beside the others."""
        if graph.part is None:
            return elapsed[graph.stop] - elapsed[graph.start]
        beside = self._beside_ms[graph.stop] - self._beside_ms[graph.start]
        return beside * self._time_share(graph, graph.part)

    def _time_share(self, graph: Graph, part: GraphPart) -> float:
        return self._parts[graph.start, graph.stop, part].time_share

    def _unlimited_ms(self, elapsed: Sequence[float], graph: Graph, body_mib: float, costs: CallCosts) -> float:
        """A call's time inside a function with a CPU for each thread."""
        compute_ms = self._compute_ms(elapsed, graph)
        cold, _ = found_cold_ms(costs, compute_ms, elapsed[-1])
        return compute_ms + costs.inside_ms + cold + body_mib * costs.inside_ms_per_mib

    def _need_gb_s(self, graph: Graph) -> float:
        """Memory in need over time (DESIGN, section 4): weights of the running layer, and tensors that live.

        Parts are taken to need an equal share of both, for their own time.
        """
        whole = sum(
            (layer.weight_bytes + layer.activation_bytes)
            / (MIB * 1024)
            * (self._elapsed_ms[layer.index + 1] - self._elapsed_ms[layer.index])
            / 1000
            for layer in self._profile.layers[graph.start : graph.stop]
        )
        part = graph.part
        return whole if part is None else whole * self._time_share(graph, part) / part.count


def _function(
    profile: Profile, holding: Holding, graphs: Sequence[Graph], name: str, calls: Sequence[_Timed]
) -> PredictedFunction:
    return PredictedFunction(
        name=name,
        memory_mib=holding.memory_mib(graphs),
        latency_ms=sum(call.inside_ms for call in calls),
        billed_ms=sum(call.billed_ms for call in calls),
        init_ms=init_ms(profile, float(holding.file_bytes(graphs))),
    )


def _longest_path_ms(shape: PlanShape, timed: Mapping[str, _Timed]) -> float:
    done_ms = {REQUEST: 0.0}
    for call in shape.calls:
        begin = max((done_ms[source.producer] for item in call.inputs for source in item.sources), default=0.0)
        done_ms[call.id] = begin + timed[call.id].total_ms
    return max(done_ms.values())
