"""Random profiles with sharding steps, and all of their plans: for the tests of parallel slices."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise, product

from hypothesis import strategies as st

from mopar.planning import PlanShape, Size, Slice, chain_shape, evaluate, with_headroom
from mopar.planning.model.boundary import slice_inputs, slice_outputs
from mopar.planning.model.calls import CallCosts, call_costs, cold_cache_penalty, step_costs
from mopar.planning.model.codings import NO_CODINGS, Codings, applied
from mopar.planning.model.prices import bought_mib, calls_usd
from mopar.planning.model.times import beside_ms, elapsed_ms
from mopar.planning.numbers import MIB
from mopar.planning.result.chain import covered
from mopar.types import (
    REQUEST,
    CpuSize,
    GraphPart,
    PartProfile,
    PlatformLimits,
    Predicted,
    PriceBook,
    Profile,
    ShardStep,
    Share,
    TensorProfile,
)
from tests.planning.oracle import sizes_of, starts_in_time
from tests.planning.strategies import profiles

COUNTS = (2, 3)
_Moved = Sequence[tuple[TensorProfile, float]]
"""Tensors, and how much of each."""


@st.composite
def sharded(draw: st.DrawFn, most_layers: int = 3, *, idle: bool = True) -> Profile:
    """A profile with a few steps of two and three parts, and a machine with as many cores; no weight is shared.

    Where parts may be ``idle``, a step may leave its last part without work.
    """
    plain = draw(profiles(most_layers))
    seen: set[str] = set()
    layers = []
    for layer in plain.layers:
        # The search's sums over steps count a weight twice that two runs of one function share.
        layers.append(replace(layer, weights=tuple(name for name in layer.weights if name not in seen)))
        seen.update(layer.weights)
    exchange_ms = draw(st.sampled_from([None, 0.02, 0.1]))
    profile = replace(
        plain,
        layers=tuple(layers),
        machine=replace(plain.machine, cores=4),
        runtime=replace(plain.runtime, exchange_ms=exchange_ms),
    )
    places = [0, *(cut.index for cut in profile.cut_positions), len(profile.layers)]
    spans = st.sampled_from(list(combinations(places, 2)))
    wanted = draw(st.lists(st.tuples(spans, st.sampled_from(COUNTS)), min_size=1, max_size=4))
    steps = [draw(_step(profile, *span, count, idle=idle)) for span, count in wanted]
    return replace(profile, shards=tuple(step for step in steps if step is not None))


@st.composite
def _step(draw: st.DrawFn, profile: Profile, start: int, stop: int, count: int, *, idle: bool) -> ShardStep | None:
    """A step with random layouts of its outputs; None where fewer than two parts, or not all, produce anything."""
    made: list[list[Share]] = [[] for _ in range(count)]
    for tensor in slice_outputs(profile.tensors, start, stop):
        for part, share in zip(made, draw(_layout(tensor, count)), strict=False):
            part.append(share)
    if sum(map(bool, made)) < (2 if idle else count):
        return None
    big = st.integers(0, 40 * int(MIB))
    parts = []
    for index in range(count):
        taken = [
            draw(_taken(tensor)) for tensor in slice_inputs(profile.tensors, start, stop) if draw(st.integers(0, 3))
        ]
        place = GraphPart(index, count, tuple(taken), tuple(made[index]))
        parts.append(PartProfile(place, draw(st.floats(0.1, 0.9)), draw(big), draw(big), draw(big)))
    return ShardStep(start, stop, "drawn", tuple(parts))


@st.composite
def _layout(draw: st.DrawFn, tensor: TensorProfile, count: int) -> list[Share]:
    """By part: whole in the first, summands in all, or split along the last axis over all or all but the last."""
    size = tensor.shape[-1]
    how = draw(st.sampled_from(["split", "split", "sum", "whole"]))
    makers = draw(st.sampled_from([count, max(count - 1, 2)]))
    if how == "sum":
        return [Share(tensor.name, summand=True)] * count
    if how == "whole" or size < makers:
        return [Share(tensor.name)]
    inner = draw(st.lists(st.integers(1, size - 1), min_size=makers - 1, max_size=makers - 1, unique=True))
    return [Share(tensor.name, 1, one, other) for one, other in pairwise([0, *sorted(inner), size])]


@st.composite
def _taken(draw: st.DrawFn, tensor: TensorProfile) -> Share:
    size = tensor.shape[-1]
    if not size or draw(st.booleans()):
        return Share(tensor.name)
    start = draw(st.integers(0, size - 1))
    return Share(tensor.name, 1, start, draw(st.integers(start + 1, size)))


def replace_inputs(step: ShardStep) -> ShardStep:
    """Each part reads what it produces."""
    parts = []
    for needs in step.parts:
        made = needs.part.outputs[0]
        parts.append(replace(needs, part=replace(needs.part, inputs=(replace(made, tensor="x"),))))
    return replace(step, parts=tuple(parts))


class Everything:
    """All plans of one question, by brute force.

    ``quickest``: of the paths through steps by a number of parts, the fastest only, as the search defines a group.
    """

    def __init__(
        self,
        profile: Profile,
        book: PriceBook,
        limits: PlatformLimits,
        *,
        quickest: bool = True,
        codings: Codings = NO_CODINGS,
    ) -> None:
        self.profile, self.book, self.limits, self._quickest = profile, book, limits, quickest
        self.codings = applied(profile, codings)
        self._drawn = codings
        self._costs = call_costs(profile.runtime, limits), step_costs(profile.runtime, limits)
        self._elapsed, self._beside = elapsed_ms(profile), beside_ms(profile, shares_host=limits.shares_host)
        self._overhead = {cut.index: cut.overhead_ms for cut in profile.cut_positions}
        self._pieces = cache(self._pieces_between)

    def plans(self) -> Iterator[tuple[float, float, int]]:
        """Cost, latency and number of functions of each plan, its slices one after the other."""
        most = self.limits.max_functions or math.inf
        cuts = [cut.index for cut in self.profile.cut_positions]
        for number in range(len(cuts) + 1):
            for chosen in combinations(cuts, number):
                spans = list(pairwise([0, *chosen, len(self.profile.layers)]))
                for pieces in product(*(self._pieces(*span) for span in spans)):
                    functions = sum(piece.size.parts for piece, _ in pieces)
                    if functions <= most:
                        shape = chain_shape(self.profile, [piece for piece, _ in pieces])
                        predicted = self.evaluated(shape)
                        if starts_in_time(predicted, self.limits):
                            yield predicted.cost_per_million_usd, sum(ms for _, ms in pieces), functions

    def _pieces_between(self, start: int, stop: int) -> list[tuple[Slice, float]]:
        """A slice in each option and size, with its latency."""
        sizes = sizes_of(self.profile, self.book, (start, stop), self.codings)
        single = [Slice(start, stop, size) for size in sizes]
        found = [(piece, self._single_ms(piece)) for piece in single]
        for count in COUNTS:
            grouped = [Slice(start, stop, Size(1, 1.0, 1, count), steps) for steps in self.paths(start, stop, count)]
            timed = sorted(((self.group_ms(piece), piece) for piece in grouped), key=lambda one: one[0])
            for ms, piece in timed[:1] if self._quickest else timed:
                sized = self.sized(piece)
                if sized is not None:
                    found.append((sized, ms))
        return found

    def paths(self, start: int, stop: int, count: int) -> Iterator[tuple[ShardStep, ...]]:
        """Paths of consecutive steps within a slice, also none: then the first function is alone."""
        outputs = {spec.name for spec in self.profile.outputs}
        usable = [
            step
            for step in self.profile.shards
            if len(step.parts) == count
            and all(
                share == Share(share.tensor)
                for part in step.parts
                for share in part.part.outputs
                if share.tensor in outputs
            )
            and not any(
                share.summand or (share.axis is not None and share.axis not in self._axes(share.tensor))
                for part in step.parts
                for share in part.part.outputs
                if share.tensor in self.codings
            )
        ]

        def onwards(at: int) -> Iterator[tuple[ShardStep, ...]]:
            yield ()
            for step in usable:
                if at <= step.start and step.stop <= stop:
                    yield from ((step, *rest) for rest in onwards(step.stop))

        return onwards(start)

    def sized(self, piece: Slice) -> Slice | None:
        """The smallest size with a whole CPU; None where there is none, or a part has no work."""
        shape = self._around(piece)
        mine = [function for function in shape.functions if "_" in function.name]
        if len(mine) < piece.size.parts or not all(function.graphs for function in mine):
            return None
        needs = self.evaluated(shape).functions
        need = max(with_headroom(one.memory_mib) for one in needs if "_" in one.name)
        floor, book = bought_mib(self.book, need), self.book
        if book.mib_per_vcpu is not None:
            memory = max(floor, bought_mib(book, book.mib_per_vcpu))
            options = [(memory, memory / book.mib_per_vcpu)]
        else:
            options = [
                (max(floor, size.memory_min_mib), size.cpu)
                for size in book.cpu_sizes or (CpuSize(book.cpu_per_function),)
                if size.cpu >= 1 and max(floor, size.memory_min_mib) <= (size.memory_max_mib or math.inf)
            ]
        options = [(memory, cpu) for memory, cpu in options if memory <= book.memory_max_mib]
        return replace(piece, size=Size(round(options[0][0]), options[0][1], 1, piece.size.parts)) if options else None

    def group_usd(self, piece: Slice) -> float:
        """Price of a group's calls, from what the evaluation of a plan says is billed."""
        shape = self._around(piece)
        figures = {one.name: one for one in self.evaluated(shape).functions}
        total = 0.0
        for function in shape.functions:
            if "_" in function.name:
                calls = sum(call.function == function.name for call in shape.calls)
                billed_ms, init_ms = figures[function.name].billed_ms, figures[function.name].init_ms
                memory_mib = float(function.memory_mib)
                total += calls_usd(self.book, memory_mib, function.cpu, billed_ms, 0.0, init_ms, float(calls))
        return total

    def start_ms(self, piece: Slice) -> float:
        """The longest start of a group's functions."""
        figures = self.evaluated(self._around(piece)).functions
        return max(one.init_ms for one in figures if "_" in one.name)

    def _around(self, piece: Slice) -> PlanShape:
        """The slice, with the layers before and after it as one function each."""
        one, count = Size(1, 1.0, 1), len(self.profile.layers)
        before = [Slice(0, piece.start, one)] if piece.start else []
        after = [Slice(piece.stop, count, one)] if piece.stop < count else []
        return chain_shape(self.profile, [*before, piece, *after])

    def _single_ms(self, piece: Slice) -> float:
        """One call at its size, as if all of its inputs came with the request."""
        shape = self._around(piece)
        graph = next(graph for graph in shape.graphs if graph.start == piece.start)
        call = next(call for call in shape.calls if call.graph == graph.id)
        inputs = tuple(replace(item, sources=(replace(item.sources[0], producer=REQUEST),)) for item in call.inputs)
        function = next(function for function in shape.functions if function.name == call.function)
        alone = PlanShape((function,), (graph,), (replace(call, inputs=inputs),), ())
        return self.evaluated(alone).latency_ms

    def group_ms(self, piece: Slice) -> float:
        """Sum over steps of the slowest part's time."""
        total = 0.0
        for start, stop, step in covered(piece):
            costs = self._costs[0 if start == piece.start else 1]
            if step is None:
                read = [(one, 1.0) for one in slice_inputs(self.profile.tensors, start, stop)]
                made = [(one, 1.0) for one in slice_outputs(self.profile.tensors, start, stop)]
                compute = self._elapsed[stop] - self._elapsed[start]
                total += self._call_ms(costs, start, compute, self._moved_ms(costs, read, made))
                continue
            parts = [part for part in step.parts if part.part.outputs]
            beside = self._beside[stop] - self._beside[start]
            total += max(
                self._call_ms(costs, start, beside * one.time_share, self._part_ms(costs, one.part)) for one in parts
            )
        return total

    def _part_ms(self, costs: CallCosts, part: GraphPart) -> float:
        """Its inputs and outputs: of a summand one more for each other part, which readers read; whole codes."""
        tensors = {tensor.name: tensor for tensor in self.profile.tensors}

        def of(share: Share) -> tuple[TensorProfile, float]:
            tensor = tensors[share.tensor]
            part_of = 1.0 if share.axis is None else (share.stop - share.start) / tensor.shape[share.axis]
            return tensor, part_of * (part.count if share.summand else 1)

        read = [(tensors[one.tensor], 1.0) if one.tensor in self.codings else of(one) for one in part.inputs]
        return self._moved_ms(costs, read, [of(one) for one in part.outputs])

    def _moved_ms(self, costs: CallCosts, read: _Moved, made: _Moved) -> float:
        """Time of tensors, of which so much is read and made: on the wire, encoded and decoded."""
        assert costs.consumer == costs.producer, "both ends of a tensor take as long"
        per_mib = costs.consumer.inside_ms_per_mib + costs.consumer.outside_ms_per_mib
        total = 0.0
        for tensors, reads in ((read, True), (made, False)):
            for tensor, much in tensors:
                coding = self.codings.get(tensor.name)
                ms = per_mib
                if coding is not None:
                    inside = coding.decode_ms_per_mib if reads else coding.encode_ms_per_mib
                    outside = coding.read_ms_per_mib if reads else coding.made_ms_per_mib
                    ms = per_mib * coding.ratio + inside + outside
                total += tensor.bytes / MIB * much * ms
        return total

    def _axes(self, tensor: str) -> Sequence[int]:
        """Along which its codec encodes shares."""
        axes = self.codings[tensor].share_axes
        return range(9) if axes is None else axes

    def evaluated(self, shape: PlanShape) -> Predicted:
        """The evaluation of a plan."""
        return evaluate(self.profile, self.book, self.limits, shape, self._drawn)

    def _call_ms(self, costs: CallCosts, start: int, engine_ms: float, moved_ms: float) -> float:
        compute = engine_ms + self._overhead.get(start, 0.0)
        penalty = cold_cache_penalty(costs, compute, self._elapsed[-1])
        cold = penalty.inside_ms + penalty.outside_ms
        return compute + cold + moved_ms + costs.inside_ms + costs.outside_ms
