"""Predicted figures of a plan: the one evaluation that search, verdicts and reports use."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mopar.planning.model.calls import CallCosts, CallTime, crossing_time
from mopar.planning.model.codings import NO_CODINGS, Codings
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.function_memory import FunctionMemory, parts_of
from mopar.planning.model.orchestration import orchestrated
from mopar.planning.model.prices import billed_ms, calls_usd
from mopar.planning.model.quota import cpu_bound_ms, cpu_used_ms
from mopar.planning.model.shape import PlanShape, call_shares
from mopar.planning.model.shares import made_bytes, read_bytes, share_bytes
from mopar.planning.model.waiting import waiting_ms
from mopar.planning.numbers import MIB
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
    """A call's times in ms, and memory in need over them.

    Attributes:
        compute_ms: in the engine.
        time: inside the function and outside.
        used_ms: CPU time.
        need_gb_s: memory in need x time.
    """

    compute_ms: float
    time: CallTime[float]
    used_ms: float
    need_gb_s: float

    @property
    def total_ms(self) -> float:
        """From its start to its outputs."""
        return self.time.inside_ms + self.time.outside_ms


def evaluate(
    profile: Profile, book: PriceBook, limits: PlatformLimits, shape: PlanShape, codings: Codings = NO_CODINGS
) -> Predicted:
    """Like ``predict``, for a profile, prices, limits and codings without a cost model."""
    return predict(CostModel.of(profile, book, limits, codings), shape)


def predict(model: CostModel, shape: PlanShape) -> Predicted:
    """The prediction for ``shape``: every call's time and price, that of what runs them, and the longest path.

    Calls that do not wait for each other run in parallel. A function runs one call at a time; a plan that calls one
    function twice at once is invalid.

    Raises:
        KeyError: the shape names a tensor, function or graph that it or the profile does not have;
            ``check_plan`` says so in the user's words.
    """
    graphs = {graph.id: graph for graph in shape.graphs}
    begins = _beginnings(shape, graphs)
    timed = _timed(model, shape, graphs, begins)
    per_function: dict[str, list[_Timed]] = defaultdict(list)
    for call in shape.calls:
        per_function[call.function].append(timed[call.id])
    memory = FunctionMemory(model.profile, codings=model.codings)
    waits = _waiting(shape, graphs, timed, begins) if model.parts_wait else {}
    predicted = tuple(
        _function(
            model,
            memory,
            function,
            [graphs[graph] for graph in function.graphs],
            per_function[function.name],
            waits.get(function.name),
        )
        for function in shape.functions
    )
    usd = gb_s = compute_gb_s = 0.0
    for function, figures in zip(shape.functions, predicted, strict=True):
        calls, memory_mib = per_function[function.name], float(function.memory_mib)
        used_ms = sum(call.used_ms for call in calls)
        usd += calls_usd(
            model.book, memory_mib, function.cpu, figures.billed_ms, used_ms, figures.init_ms, float(len(calls))
        )
        gb_s += memory_mib / 1024 * figures.billed_ms / 1000
        compute_gb_s += memory_mib / 1024 * sum(call.compute_ms for call in calls) / 1000
    latency_ms = _longest_path_ms(shape, timed)
    by = orchestrated(model, shape, latency_ms)
    need_gb_s = sum(entry.need_gb_s for entry in timed.values())
    return Predicted(
        latency_ms=latency_ms,
        gb_s_per_request=gb_s,
        cost_per_million_usd=usd * 1e6 + (0.0 if by is None else by.total_per_million_usd),
        efficiency=need_gb_s / gb_s if gb_s > 0 else 0.0,
        compute_gb_s=compute_gb_s,
        communication_gb_s=gb_s - compute_gb_s,
        memory_mib=sum(function.memory_mib for function in shape.functions),
        functions=predicted,
        cpu=sum(function.cpu for function in shape.functions),
    )


def _timed(
    model: CostModel, shape: PlanShape, graphs: Mapping[str, Graph], begins: Mapping[str, int]
) -> dict[str, _Timed]:
    """Times of every call; calls of a function after its first in a request are further steps."""
    functions = {function.name: function for function in shape.functions}
    timing = _Timing(model, call_shares(graphs, shape.calls))
    found = {}
    for call in shape.calls:
        graph = graphs[call.graph]
        costs = model.call if graph.start == begins[call.function] else model.step
        found[call.id] = timing.of(call, functions[call.function], graph, costs)
    return found


def _beginnings(shape: PlanShape, graphs: Mapping[str, Graph]) -> dict[str, int]:
    """For each function, the layer at which it or its group begins."""
    begins = {function.name: min(graphs[graph].start for graph in function.graphs) for function in shape.functions}
    owner = {graph: function.name for function in shape.functions for graph in function.graphs}
    together: dict[tuple[int, int], list[str]] = defaultdict(list)
    for graph in shape.graphs:
        together[graph.start, graph.stop].append(owner[graph.id])
    for names in together.values():
        begins.update(dict.fromkeys(names, min(begins[name] for name in names)))
    return begins


def _waiting(
    shape: PlanShape, graphs: Mapping[str, Graph], timed: Mapping[str, _Timed], begins: Mapping[str, int]
) -> dict[str, float]:
    """How long each function of a group waits for the others in a request; other functions are left out."""
    groups: dict[int, dict[int, dict[str, CallTime[float]]]] = defaultdict(lambda: defaultdict(dict))
    for call in shape.calls:
        groups[begins[call.function]][graphs[call.graph].start][call.function] = timed[call.id].time
    found = {}
    for stages in groups.values():
        if len({name for stage in stages.values() for name in stage}) > 1:
            found.update(waiting_ms([stages[start] for start in sorted(stages)]))
    return found


class _Timing:
    """Computes the times of the calls of one shape."""

    def __init__(self, model: CostModel, made: Mapping[tuple[str, str], Share]) -> None:
        self._model, self._made = model, made
        self._tensors = {tensor.name: tensor for tensor in model.profile.tensors}
        self._parts = parts_of(model.profile)

    def of(self, call: Call, function: Function, graph: Graph, costs: CallCosts) -> _Timed:
        """A call's times, at the costs of a call or of a further step."""
        model = self._model
        one_ms, two_ms = (self._compute_ms(elapsed, graph) for elapsed in (model.one_ms, model.two_ms))
        times = model.times(costs, one_ms, two_ms, self._crossing(call, graph, costs))
        threads = float(function.threads)
        inside = cpu_bound_ms(model.book, times.one_ms, times.two_ms, function.cpu, threads)
        stretch = inside / times.one_ms if times.one_ms > 0 else 1.0
        return _Timed(
            compute_ms=one_ms * stretch,
            time=CallTime(inside, times.outside_ms),
            used_ms=cpu_used_ms(times.one_ms, times.two_ms, threads),
            need_gb_s=self._need_gb_s(graph) * stretch,
        )

    def _crossing(self, call: Call, graph: Graph, costs: CallCosts) -> CallTime[float]:
        """Time that all tensors which a call reads and produces add to it."""
        coding = self._model.coding
        read = [
            crossing_time(costs, size, "consumer", coding(item.tensor))
            for item in call.inputs
            for size in self._read(item)
        ]
        shares = (self._made[call.id, name] for name in call.outputs)
        charged = ((share.tensor, made_bytes(self._tensors[share.tensor], share, graph.part)) for share in shares)
        both = [*read, *(crossing_time(costs, size, "producer", coding(name)) for name, size in charged)]
        return CallTime(sum(one.inside_ms for one in both), sum(one.outside_ms for one in both))

    def _read(self, item: CallInput) -> Iterator[float]:
        """Bytes of an input's sources; of summands one, since the others are charged to their producers."""
        if item.tensor in self._model.codings:
            yield read_bytes(self._tensors[item.tensor], Share(item.tensor), self._model.codings)
            return
        for source in item.sources[:1] if item.combine == "sum" else item.sources:
            yield self._bytes(source)

    def _bytes(self, source: Source) -> float:
        """Bytes of a source: its share of the tensor, or its region's part of that."""
        share = self._made.get((source.producer, source.tensor), Share(source.tensor))
        tensor, region = self._tensors[share.tensor], source.region
        held = share_bytes(tensor, share)
        if region is None:
            return held
        size = share.stop - share.start if share.axis == region.axis else tensor.shape[region.axis]
        return held * (region.stop - region.start) / size

    def _compute_ms(self, elapsed: Sequence[float], graph: Graph) -> float:
        """Engine time of its layers, of a part its share of it, and the time that the cut adds."""
        cut_ms = self._model.cut_ms.get(graph.start, 0.0)
        if graph.part is None:
            return elapsed[graph.stop] - elapsed[graph.start] + cut_ms
        beside = self._model.parts_ms[graph.stop] - self._model.parts_ms[graph.start]
        return beside * self._time_share(graph, graph.part) + cut_ms

    def _time_share(self, graph: Graph, part: GraphPart) -> float:
        return self._parts[graph.start, graph.stop, part].time_share

    def _need_gb_s(self, graph: Graph) -> float:
        """Memory in need over time (docs/measuring.md): weights of the running layer, and live tensors.

        Parts are assumed to need an equal share of both, for their own time.
        """
        whole = sum(
            (layer.weight_bytes + layer.activation_bytes)
            / (MIB * 1024)
            * (self._model.one_ms[layer.index + 1] - self._model.one_ms[layer.index])
            / 1000
            for layer in self._model.profile.layers[graph.start : graph.stop]
        )
        part = graph.part
        return whole if part is None else whole * self._time_share(graph, part) / part.count


def _function(
    model: CostModel,
    memory: FunctionMemory,
    function: Function,
    graphs: Sequence[Graph],
    calls: Sequence[_Timed],
    wait_ms: float | None,
) -> PredictedFunction:
    """A function's figures; ``wait_ms`` is None where each of its calls is billed by itself."""
    inside_ms = sum(call.time.inside_ms for call in calls)
    if wait_ms is None:
        billed = sum(billed_ms(model.book, call.time.inside_ms) for call in calls)
    else:
        billed = billed_ms(model.book, inside_ms + wait_ms)
    return PredictedFunction(
        name=function.name,
        memory_mib=memory.memory_mib(graphs),
        latency_ms=inside_ms,
        billed_ms=billed,
        init_ms=model.init_ms(model.loading.function_ms(*memory.divided(graphs)), function.cpu),
        waiting_ms=wait_ms or 0.0,
    )


def _longest_path_ms(shape: PlanShape, timed: Mapping[str, _Timed]) -> float:
    done_ms = {REQUEST: 0.0}
    for call in shape.calls:
        begin = max((done_ms[source.producer] for item in call.inputs for source in item.sources), default=0.0)
        done_ms[call.id] = begin + timed[call.id].total_ms
    return max(done_ms.values())
