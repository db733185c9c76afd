"""Budgets, fronts, reasons and downsampling, compared with brute force or the full search."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.planning import check_plan, evaluate, parse_plan, plan, plan_cuts, plan_front, plan_text, shape_of
from mopar.planning.policy import DEFAULT, SearchPolicy
from mopar.planning.result.chain import chain_shape
from mopar.planning.space.downsample import downsampled
from mopar.planning.space.question import make_question
from mopar.types import InfeasibleError, PlatformLimits, PriceBook, Profile, UsageError
from tests.planning.oracle import candidates
from tests.planning.strategies import books, limits, profiles
from tests.planning.test_optimum import random_questions
from tests.profiles import FREE, PAPER, chain, halves


@random_questions
@given(profiles(most_layers=4), books(), limits(), st.floats(0.8, 1.5))
def test_the_fastest_plan_within_a_budget(
    profile: Profile, book: PriceBook, limit: PlatformLimits, share: float
) -> None:
    everything = [one.predicted for one in candidates(profile, book, limit)]
    if not everything:
        return
    least = min(one.cost_per_million_usd for one in everything)
    budget = share * least
    affordable = [one.latency_ms for one in everything if one.cost_per_million_usd <= budget * (1 + 1e-9)]
    if not affordable:
        with pytest.raises(InfeasibleError) as caught:
            plan(profile, book, limit, objective="latency", budget_usd=budget, exact=True)
        assert caught.value.limit == "budget_usd"
        assert caught.value.nearest == pytest.approx(least, rel=1e-6)
        return
    found = plan(profile, book, limit, objective="latency", budget_usd=budget, exact=True)
    assert found.predicted.cost_per_million_usd <= budget * (1 + 1e-6)
    assert found.predicted.latency_ms <= min(affordable) + DEFAULT.solve.grid_ms * 1.01


@random_questions
@given(profiles(most_layers=4), books(), limits())
def test_no_plan_beats_a_point_of_the_front(profile: Profile, book: PriceBook, limit: PlatformLimits) -> None:
    """Nor is any plan below both ends: the cheapest and the fastest plan are on the front."""
    everything = [one.predicted for one in candidates(profile, book, limit)]
    if not everything:
        return
    points = plan_front(profile, book, limit, exact=True)
    assert points[0].latency_ms == pytest.approx(min(one.latency_ms for one in everything), rel=1e-6)
    cheapest = min(point.cost_per_million_usd for point in points)
    assert cheapest == pytest.approx(min(one.cost_per_million_usd for one in everything), rel=1e-6)
    for point in points:
        assert not any(
            one.latency_ms < point.latency_ms * (1 - 1e-6)
            and one.cost_per_million_usd < point.cost_per_million_usd * (1 - 1e-6)
            and len(one.functions) <= point.functions
            for one in everything
        )


@random_questions
@given(profiles(), books(), limits())
def test_reasons_are_what_other_cuts_cost(profile: Profile, book: PriceBook, limit: PlatformLimits) -> None:
    """The plan with the next-best cut has the stated cost, and neither alternative would be cheaper.

    Where the time of a request is rounded up, other slices could use what a cut leaves of a unit.
    """
    if book.orchestrator is not None:
        book = replace(book, orchestrator=replace(book.orchestrator, billing_unit_ms=0.0))
    try:
        found = plan(profile, book, limit, slo_ms=None)
    except InfeasibleError:
        return
    positions = [reason.cut for reason in found.cuts]
    assert positions == [graph.start for graph in found.graphs[1:]]
    assert [reason.functions for reason in found.cuts] == [(function.name,) for function in found.functions[:-1]]
    for reason in found.cuts:
        for usd in (reason.next_usd, reason.without_usd):
            assert usd is None or usd >= -1e-6 * reason.total_usd
        if reason.next_best is not None and reason.next_usd is not None:
            moved = sorted({*positions, reason.next_best} - {reason.cut})
            other = plan_cuts(profile, book, limit, moved, slo_ms=None)
            said = (reason.total_usd + reason.next_usd) * 1e6
            assert other.predicted.cost_per_million_usd == pytest.approx(said, rel=1e-6)


@random_questions
@given(profiles(), books(), limits())
def test_the_text_form_says_all_that_a_chain_is(profile: Profile, book: PriceBook, limit: PlatformLimits) -> None:
    try:
        found = plan(profile, book, limit)
    except InfeasibleError:
        return
    line = plan_text(found)
    assert "\n" not in line
    read = parse_plan(line)
    shape = chain_shape(profile, read.slices)
    assert shape == shape_of(found)
    assert evaluate(profile, book, limit, shape) == found.predicted
    assert (read.model, read.platform, read.prices) == (found.model, found.platform, found.prices)
    assert (read.objective, read.slo_ms) == (found.objective, found.slo_ms)


@pytest.mark.parametrize(
    "line", ["", "resnet50", "a@b local/paper cost: ", "a@b local/paper cost: 0-3", "a@b l/p cost: 1-0 x"]
)
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(UsageError, match="form is"):
        parse_plan(line)


def test_downsampling_keeps_cheap_boundaries_and_hardly_costs() -> None:
    """A chain of 300 layers, every tenth boundary small: with 60 positions the plan is as good as with all."""
    profile = chain(300, latency_ms=0.5, weight=1 << 20)
    small = tuple(
        replace(tensor, bytes=4096, shape=(1, 1024)) if tensor.producer % 10 == 9 else tensor
        for tensor in profile.tensors
    )
    sizes = {tensor.name: tensor.bytes for tensor in small}
    cuts = tuple(replace(cut, bytes=sum(sizes[name] for name in cut.tensors)) for cut in profile.cut_positions)
    profile = replace(profile, tensors=small, cut_positions=cuts)
    positions = [cut.index for cut in cuts]
    kept = downsampled(make_question(profile, PAPER, FREE), positions, most=60)
    assert len(kept) <= 60
    assert set(range(10, 300, 10)) <= set(kept)
    few = SearchPolicy(all_positions_up_to=60, most_positions=60)
    rough = plan(profile, PAPER, FREE, max_functions=6, policy=few)
    exact = plan(profile, PAPER, FREE, max_functions=6, exact=True)
    check_plan(rough, 300)
    assert "positions looked at" in rough.reason
    assert "looked at" not in exact.reason
    assert rough.predicted.cost_per_million_usd <= 1.02 * exact.predicted.cost_per_million_usd


def test_fewer_positions_keep_those_where_parts_may_begin_and_end() -> None:
    """As long as they are at most half of the positions; otherwise other positions limit the steps."""
    profile, positions = chain(100), list(range(1, 100))
    steps = tuple(halves(start, start + 1, f"t{start - 1}", f"t{start}") for start in range(1, 98, 4))
    ends = {place for step in steps for place in (step.start, step.stop)}
    some = replace(profile, shards=steps[:10])
    kept = downsampled(make_question(some, PAPER, FREE), positions, most=40)
    assert {place for step in steps[:10] for place in (step.start, step.stop)} <= set(kept)
    assert len(kept) <= 40
    assert kept == sorted(set(kept))
    assert len(ends) > 20
    full, none = (make_question(one, PAPER, FREE) for one in (replace(profile, shards=steps), profile))
    assert downsampled(full, positions, most=40) == downsampled(none, positions, most=40)
