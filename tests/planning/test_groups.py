"""Parallel slices: the search finds the optimum of brute force, and its plans are what they say."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mopar.planning import (
    Size,
    Slice,
    chain_shape,
    check_plan,
    evaluate,
    plan,
    plan_cuts,
    plan_front,
    plan_uniform,
    shape_of,
    with_headroom,
)
from mopar.planning.space.problem import free_problem
from mopar.planning.space.question import make_question
from mopar.types import (
    CpuSize,
    InfeasibleError,
    Plan,
    PlatformLimits,
    PriceBook,
    Profile,
    Region,
    Share,
    UsageError,
)
from tests.planning.sharded import Everything, replace_inputs, sharded
from tests.planning.strategies import books, limits
from tests.profiles import COUPLED, FREE, MIB, PAPER, STRICT, chain, halves, in_halves

SLACK = 1e-6
many = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

SIZES = (CpuSize(0.5, 1, 256), CpuSize(1.0, 64, 96), CpuSize(2.0, 64, 1024))
BOOKS = st.sampled_from(
    [
        PAPER,
        replace(PAPER, cpu_sizes=SIZES, vcpu_s_usd=1e-5, memory_step_mib=64),
        replace(COUPLED, memory_step_mib=96),
    ]
)
PLATFORMS = st.builds(
    lambda most, own, inside, start: replace(
        FREE, max_functions=most, shares_host=not own, hop_ms=1.0 if own else 0.0, hop_ms_per_mib=0.5 if own else 0.0,
        hop_billed_share=inside, start_read_share=0.5, max_start_ms=start,
    ),
    st.sampled_from([None, 2, 3]), st.booleans(), st.sampled_from([0.0, 0.5]), st.sampled_from([None, None, 170.0]),
)  # fmt: skip


def valid(found: Plan, profile: Profile, book: PriceBook, limit: PlatformLimits) -> None:
    """Invariants of every plan, for any objective."""
    check_plan(found, len(profile.layers))
    assert evaluate(profile, book, limit, shape_of(found)) == found.predicted
    needs = {one.name: one.memory_mib for one in found.predicted.functions}
    for function in found.functions:
        assert with_headroom(needs[function.name]) <= function.memory_mib * (1 + SLACK)
    runs = sorted({(graph.start, graph.stop) for graph in found.graphs})
    assert [start for start, _ in runs] == [0, *(stop for _, stop in runs[:-1])]
    assert runs[-1][1] == len(profile.layers)
    assert limit.max_functions is None or len(found.functions) <= limit.max_functions


@many
@given(sharded(most_layers=5), BOOKS, PLATFORMS)
def test_every_slice_is_the_quickest_way_and_what_it_says(
    profile: Profile, book: PriceBook, limit: PlatformLimits
) -> None:
    """For each group and slice, whether or not a plan would choose it."""
    places = [0, *(cut.index for cut in profile.cut_positions), len(profile.layers)]
    problem = free_problem(make_question(profile, book, replace(limit, max_functions=None)), places)
    everything = Everything(profile, book, limit)
    for group in problem.groups:
        for one, other in combinations(range(len(places)), 2):
            every = [
                Slice(places[one], places[other], Size(1, 1.0, 1, group.parts), steps)
                for steps in everything.paths(places[one], places[other], group.parts)
            ]
            quickest = min(every, key=everything.group_ms)
            sized = everything.sized(quickest)
            if sized is None:
                assert not np.isfinite(group.latency_ms[one, other])
                continue
            start_ms = everything.start_ms(sized)
            assert group.start_ms[one, other] == pytest.approx(start_ms)
            if limit.max_start_ms is not None and start_ms > limit.max_start_ms:
                assert not np.isfinite(group.latency_ms[one, other])
                continue
            assert group.latency_ms[one, other] == pytest.approx(everything.group_ms(quickest))
            assert group.path(one, other) == quickest.steps
            assert group.memory_mib[one, other] == sized.size.memory_mib
            assert group.cpu[one, other] == sized.size.cpu
            assert group.cost_usd[one, other] == pytest.approx(everything.group_usd(sized))


def test_a_run_of_the_first_part_is_one_call() -> None:
    """Two would seem faster: the first is short and pays no cold caches, the second costs only an exchange."""
    profile = in_halves(4)
    layers = tuple(replace(layer, latency_ms=20.0 if layer.index else 0.01) for layer in profile.layers)
    runtime = replace(profile.runtime, cold_ms=5.0, exchange_ms=0.01)
    profile = replace(profile, layers=layers, runtime=runtime, shards=profile.shards[2:])
    problem = free_problem(make_question(profile, PAPER, FREE), range(5))
    (group,) = problem.groups
    shape = chain_shape(profile, [Slice(0, 4, Size(128, 1.0, 1, 2), group.path(0, 4))])
    assert [graph.start for graph in shape.graphs] == [0, 2, 2, 3]
    assert evaluate(profile, PAPER, FREE, shape).latency_ms == pytest.approx(group.latency_ms[0, 4])


@many
@given(sharded(), BOOKS, PLATFORMS, st.sampled_from([None, 0.6, 0.9, 1.2]))
def test_cheapest_within_an_slo(profile: Profile, book: PriceBook, limit: PlatformLimits, share: float | None) -> None:
    everything = list(Everything(profile, book, limit).plans())
    assume(everything)
    slo_ms = None if share is None else share * everything[0][1]
    fit = [usd for usd, ms, _ in everything if slo_ms is None or ms <= slo_ms * (1 + 1e-9)]
    if not fit:
        with pytest.raises(InfeasibleError) as caught:
            plan(profile, book, limit, slo_ms=slo_ms)
        assert caught.value.nearest == pytest.approx(min(ms for _, ms, _ in everything))
        return
    found = plan(profile, book, limit, slo_ms=slo_ms)
    valid(found, profile, book, limit)
    assert slo_ms is None or found.predicted.latency_ms <= slo_ms * (1 + SLACK)
    assert found.predicted.cost_per_million_usd == pytest.approx(min(fit), rel=SLACK)


@many
@given(sharded(idle=False), BOOKS, PLATFORMS)
def test_fastest_of_all_ways_through_the_steps(profile: Profile, book: PriceBook, limit: PlatformLimits) -> None:
    """All paths through a slice's steps are tried here; the search tries only the fastest.

    So the fastest path must be feasible: none of its functions may be without a call.
    """
    # Where memory is short the fastest path may not fit and a slower one may.
    everything = list(Everything(profile, book, limit, quickest=False).plans())
    assume(everything)
    found = plan(profile, book, limit, objective="latency", policy=STRICT)
    valid(found, profile, book, limit)
    least_ms = min(ms for _, ms, _ in everything)
    assert found.predicted.latency_ms <= least_ms * (1 + SLACK)
    quickest = [one for one in Everything(profile, book, limit).plans() if one[1] <= least_ms * (1 + 1e-9)]
    assert found.predicted.cost_per_million_usd == pytest.approx(min(quickest)[0], rel=SLACK)


@many
@given(sharded(), books(), limits(), st.sampled_from(["cost", "latency", "balanced"]))
def test_plans_keep_their_limits(profile: Profile, book: PriceBook, limit: PlatformLimits, objective: str) -> None:
    try:
        found = plan(profile, book, limit, objective=objective, slo_ms=None)
    except InfeasibleError:
        return
    valid(found, profile, book, limit)
    sizes = {tensor.name: tensor for tensor in profile.tensors}
    made = {(call.id, name): 1.0 for call in found.calls for name in call.outputs}
    graphs = {graph.id: graph for graph in found.graphs}
    for call in found.calls:
        part = graphs[call.graph].part
        for share in part.outputs if part else ():
            if share.axis is not None:
                made[call.id, share.tensor] = (share.stop - share.start) / sizes[share.tensor].shape[share.axis]
    for call in found.calls:
        entering = leaving = 0.0
        for item in call.inputs:
            tensor = sizes[item.tensor]
            for source in item.sources:
                part_of = made.get((source.producer, source.tensor), 1.0)
                if source.region is not None:
                    part_of *= (source.region.stop - source.region.start) / (source.region.size or 1)
                entering += tensor.bytes * part_of
        leaving = sum(sizes[name].bytes * made[call.id, name] for name in call.outputs)
        if limit.payload_bytes is not None:
            assert max(entering, leaving) * limit.payload_factor <= limit.payload_bytes * (1 + SLACK)


@many
@given(sharded(), BOOKS, PLATFORMS, st.sampled_from(["cost", "latency", "balanced"]))
def test_without_parts_nothing_changes(
    profile: Profile, book: PriceBook, limit: PlatformLimits, objective: str
) -> None:
    """``max_parts=1``, and a profile without steps, give plans of one function per slice."""
    plain = replace(profile, shards=())

    def planned(one: Profile, **options: int) -> Plan | str:
        try:
            return plan(one, book, limit, objective=objective, **options)  # type: ignore[arg-type]
        except InfeasibleError as error:
            return str(error)

    assert planned(profile, max_parts=1) == planned(plain)
    found = planned(profile, max_parts=2)
    if isinstance(found, Plan):
        assert all(graph.part is None or graph.part.count == 2 for graph in found.graphs)


def test_the_fastest_plan_computes_side_by_side() -> None:
    profile = in_halves(4)
    found = plan(profile, PAPER, FREE, objective="latency")
    assert [graph.part.index for graph in found.graphs if graph.part] == [0, 1, 0, 1, 0, 1]
    assert [item.combine for call in found.calls[2:] for item in call.inputs] == ["concat"] * 5
    whole = plan(profile, PAPER, FREE, objective="latency", max_parts=1)
    assert found.predicted.latency_ms < 0.7 * whole.predicted.latency_ms
    assert all(graph.part is None for graph in whole.graphs)


def test_parts_need_cores_where_functions_share_a_machine() -> None:
    profile = in_halves(4)
    small = replace(profile, machine=replace(profile.machine, cores=1))
    assert len(plan(small, PAPER, FREE, objective="latency", policy=STRICT).functions) == 1
    elsewhere = replace(FREE, shares_host=False, hop_ms=0.3, hop_ms_per_mib=0.1)
    assert len(plan(small, PAPER, elsewhere, objective="latency", policy=STRICT).functions) > 1


def test_given_cuts_are_slices_of_one_function() -> None:
    profile = in_halves(4)
    for found in (plan_cuts(profile, PAPER, FREE, [2]), plan_uniform(profile, PAPER, FREE, 2)):
        assert all(graph.part is None for graph in found.graphs)


def test_the_front_says_where_slices_are_cut() -> None:
    profile = in_halves(4)
    points = plan_front(profile, PAPER, FREE)
    assert max(point.functions for point in points) > 1
    assert all(list(point.cuts) == sorted({*point.cuts} - {0}) for point in points)
    alone = plan_front(profile, PAPER, FREE, max_parts=1)
    assert min(point.latency_ms for point in points) < min(point.latency_ms for point in alone)


def test_summands_that_leave_a_slice_are_in_no_payload_limit() -> None:
    """A reader of two summands reads twice the tensor: more than the payload limit, for any reader."""
    profile = chain(2, latency_ms=20.0)
    step = halves(0, 1, "x", "t0", summand=True)
    parts = [
        replace(one, part=replace(one.part, inputs=(Share("x", 1, at * HALF, (at + 1) * HALF),)))
        for at, one in enumerate(step.parts)
    ]
    profile = replace(profile, shards=(replace(step, parts=tuple(parts)),))
    assert len(plan(profile, PAPER, FREE, objective="latency", policy=STRICT).functions) > 1
    tight = replace(FREE, payload_bytes=MIB)
    assert len(plan(profile, PAPER, tight, objective="latency", policy=STRICT).functions) == 1


@pytest.mark.parametrize("parts", [0, -1])
def test_a_slice_has_a_function_at_least(parts: int) -> None:
    with pytest.raises(UsageError, match="max_parts"):
        plan(chain(2), PAPER, FREE, max_parts=parts)


def _changed(found: Plan, number: int, **changes: object) -> Plan:
    """The same with another part in its graphs."""
    graph = found.graphs[number]
    assert graph.part is not None
    other = replace(graph, part=replace(graph.part, **changes))  # type: ignore[arg-type]
    return replace(found, graphs=(*found.graphs[:number], other, *found.graphs[number + 1 :]))


def _input(found: Plan, number: int, source: int = 0, **changes: object) -> Plan:
    """The same with another first input of a call, or another of its sources."""
    call = found.calls[number]
    item = call.inputs[0]
    ours = {name: value for name, value in changes.items() if name in {"combine", "axis", "sources"}}
    rest = {name: value for name, value in changes.items() if name not in ours}
    sources = [replace(one, **rest) if at == source else one for at, one in enumerate(item.sources)]  # type: ignore[arg-type]
    other = replace(item, **({"sources": tuple(sources)} | ours))  # type: ignore[arg-type]
    changed = replace(call, inputs=(other, *call.inputs[1:]))
    return replace(found, calls=(*found.calls[:number], changed, *found.calls[number + 1 :]))


GOOD = plan(in_halves(3), PAPER, FREE, objective="latency")
"""Calls c0_0, c0_1; c2_0, c2_1, which take both halves of t0; then f0_0 or another function takes those of t1."""
SUMMED = plan(
    replace(chain(2, latency_ms=20.0), shards=(halves(0, 1, "x", "t0", summand=True),)),
    PAPER, FREE, objective="latency",
)  # fmt: skip
HALF = MIB // 8
NARROW = plan(
    replace(chain(2, latency_ms=20.0), shards=(replace_inputs(halves(0, 1, "x", "t0")),)),
    PAPER, FREE, objective="latency",
)  # fmt: skip
FIRST, SECOND = GOOD.calls[2].inputs[0].sources
BROKEN: dict[str, tuple[Plan, str]] = {
    "no such part": (_changed(GOOD, 0, index=2), "no such part of 2"),
    "same part": (_changed(GOOD, 0, index=1), "hold the same layers"),
    "other numbers": (_changed(GOOD, 0, count=3), "hold the same layers"),
    "other tensors": (_changed(GOOD, 0, inputs=(Share("t1"),)), "not of the tensors"),
    "summand taken": (_changed(GOOD, 0, inputs=(Share("x", summand=True),)), "takes a summand"),
    "no share": (_changed(GOOD, 0, inputs=(Share("x", 1, 4, 4),)), "no such share"),
    "axis": (_changed(GOOD, 0, inputs=(Share("x", -1, 0, 4),)), "no such share"),
    "one function": (
        replace(
            GOOD,
            functions=(
                replace(GOOD.functions[0], graphs=tuple(graph.id for graph in GOOD.graphs)),
                *(replace(one, graphs=()) for one in GOOD.functions[1:]),
            ),
        ),
        "two parts of the same layers",
    ),
    "region backwards": (_input(GOOD, 2, region=Region(1, 5, 2)), "no region 5 to 2"),
    "region below": (_input(GOOD, 2, region=Region(1, -1, 2)), "no region -1 to 2"),
    "region's axis": (_input(GOOD, 2, region=Region(-1, 0, 2)), "along axis -1"),
    "region beyond": (_input(GOOD, 2, region=Region(1, 0, 9, 8)), "region 0 to 9 of 8"),
    "beyond the share": (_input(GOOD, 2, 1, region=Region(1, 0, HALF + 1)), "takes"),
    "hole": (_input(GOOD, 2, region=Region(1, 0, 5)), "goes on at element"),
    "late": (_input(GOOD, 2, region=Region(1, 5, HALF)), "goes on at element 5"),
    "swapped": (_input(GOOD, 2, sources=(SECOND, FIRST)), "goes on at element"),
    "no axis": (_input(GOOD, 2, axis=None), "axis None"),
    "axis below zero": (_input(GOOD, 2, axis=-1), "axes count from 0"),
    "other axis": (_input(GOOD, 2, axis=0), "are split along 1"),
    "half of it": (_input(GOOD, 2, sources=(FIRST,), combine="none", axis=None), "gives not all"),
    "one to join": (_input(GOOD, 2, sources=(FIRST,)), "1 sources to concat"),
    "several of none": (_input(GOOD, 2, combine="none", axis=None), "2 sources to none"),
    "unknown": (_input(GOOD, 2, combine="stack", axis=None), "combined by 'stack'"),
    "summed shares": (_input(GOOD, 2, combine="sum", axis=None), "0 of its sources are summands"),
    "joined summands": (_input(SUMMED, 2, combine="concat", axis=1), "2 of its sources are summands"),
    "a summand less": (_input(SUMMED, 2, sources=SUMMED.calls[2].inputs[0].sources[:1]), "1 sources to sum"),
    "a summand twice": (_input(SUMMED, 2, sources=SUMMED.calls[2].inputs[0].sources[:1] * 2), "one call twice"),
    "more than its part": (_input(NARROW, 0, region=Region(1, 0, HALF + 1, 2 * HALF)), "ends at element"),
    "less than all": (_input(GOOD, 2, 1, region=Region(1, 0, 5, HALF)), "ends at element"),
    "another tensor": (_input(GOOD, 2, tensor="x", producer="request"), "is made of 'x'"),
    "from nowhere": (_input(GOOD, 2, producer="c9"), "not made by 'c9'"),
}


def _cut_for(taken: Share, summand: bool) -> Plan:
    """Two steps: each part of the second reads a piece of the first one's outputs, halves or summands."""
    profile = replace(chain(2, latency_ms=20.0), outputs=())
    step = halves(1, 2, "t0", "t1")
    parts = tuple(replace(needs, part=replace(needs.part, inputs=(taken,))) for needs in step.parts)
    steps = halves(0, 1, "x", "t0", summand=summand), replace(step, parts=parts)
    shape = chain_shape(profile, [Slice(0, 2, Size(64, 1.0, 1, 2), steps)])
    return replace(GOOD, functions=shape.functions, graphs=shape.graphs, calls=shape.calls, outputs=())


@pytest.mark.parametrize("summand", [False, True])
@pytest.mark.parametrize(
    "taken",
    [
        *(Share("t0", 1, start, stop) for start, stop in ((0, HALF), (HALF, 2 * HALF), (5, 2 * HALF - 5))),
        Share("t0", 0, 0, 1),
        Share("t0"),
    ],
    ids=str,
)
def test_what_is_gathered_is_accepted(taken: Share, summand: bool) -> None:
    found = _cut_for(taken, summand)
    check_plan(found, 2)
    if summand and taken.start:
        region = found.calls[2].inputs[0].sources[1].region
        assert region is not None
        moved = replace(region, start=region.start - 1)
        with pytest.raises(UsageError, match="begins at element"):
            check_plan(_input(found, 2, 1, region=moved), 2)


@pytest.mark.parametrize(("broken", "message"), BROKEN.values(), ids=BROKEN)
def test_a_plan_whose_parts_do_not_fit_is_refused(broken: Plan, message: str) -> None:
    layers = max(graph.stop for graph in broken.graphs)
    check_plan(GOOD, 3)
    check_plan(SUMMED, 2)
    with pytest.raises(UsageError, match=message) as caught:
        check_plan(broken, layers)
    assert "\n" not in str(caught.value)


def test_an_answer_is_no_part() -> None:
    shared = replace(GOOD, outputs=(*GOOD.outputs, ("t0", "c0_0")))
    with pytest.raises(UsageError, match="a part of output 't0'"):
        check_plan(shared, 3)
