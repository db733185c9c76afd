"""Orders of parallel branches: what another order changes, and that the best one is found."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopar.planning import (
    arrange,
    check_plan,
    evaluate,
    parse_plan,
    plan,
    plan_cuts,
    plan_front,
    plan_text,
    plan_unsplit,
    reordered,
    shape_of,
)
from mopar.planning.arithmetic import call_costs
from mopar.planning.arrange import arranged
from mopar.planning.boundary import last_use
from mopar.planning.branches import Section, boundaries_of, is_canonical, runs_of, sections_of
from mopar.planning.decide import Decider
from mopar.planning.orders import EXACT, branches_of
from mopar.planning.shape import chain_shape
from mopar.planning.sizes import Sizing
from mopar.planning.sound import check_profile
from mopar.planning.table import slice_table
from mopar.types import InfeasibleError, PlatformLimits, PriceBook, Profile, UsageError
from tests.planning.branching import all_plans, block, branching, chained_ms, orders_of, random_layers
from tests.planning.strategies import books, limits
from tests.planning.test_optimum import random_questions
from tests.profiles import FREE, MIB, PAPER, two_towers

SLACK = 1e-6
few_questions = settings(random_questions, max_examples=25)


def test_towers_are_cut_one_after_the_other() -> None:
    """In canonical order a large tensor of each tower crosses every cut; behind one tower, a small one does."""
    profile = two_towers()
    slow = replace(FREE, hop_ms=0.5, hop_ms_per_mib=5.0)
    found = plan(profile, PAPER, slow, slo_ms=None, max_functions=2)
    assert found.order in {(0, 2, 4, 1, 3, 5, 6), (1, 3, 5, 0, 2, 4, 6)}
    assert [graph.stop for graph in found.graphs] == [3, 7]
    assert "another order" in found.reason
    assert found.unsplit == plan_unsplit(profile, PAPER, slow, slo_ms=None).predicted
    canonical = [plan_cuts(profile, PAPER, slow, [cut], slo_ms=None) for cut in range(1, 7)]
    cheapest = min(one.predicted.cost_per_million_usd for one in canonical)
    assert found.predicted.cost_per_million_usd < 0.98 * cheapest


def test_a_limit_that_only_another_order_keeps() -> None:
    tight = replace(FREE, payload_bytes=3 * MIB, package_bytes=170 * MIB)
    found = plan(two_towers(), PAPER, tight, slo_ms=None)
    assert found.order
    assert "only possible" in found.reason
    alone = replace(tight, package_bytes=100 * MIB)
    with pytest.raises(InfeasibleError) as caught:
        plan(two_towers(), PAPER, alone, slo_ms=None)
    assert caught.value.limit == "payload_bytes"
    assert caught.value.nearest is not None
    enough = replace(alone, payload_bytes=int(caught.value.nearest))
    assert plan(two_towers(), PAPER, enough, slo_ms=None).functions


@few_questions
@given(branching(), books(), limits(), st.sampled_from([None, 0.9, 1.05, 1.3]))
def test_the_cheapest_over_all_orders(
    profile: Profile, book: PriceBook, limit: PlatformLimits, share: float | None
) -> None:
    candidates = all_plans(profile, book, limit)
    slo_ms = None
    if share is not None:
        slo_ms = share * (min(one.chained_ms for one in candidates) if candidates else 10.0)
    fit = [one for one in candidates if slo_ms is None or one.chained_ms <= slo_ms * (1 + 1e-9)]
    if not fit:
        with pytest.raises(InfeasibleError) as caught:
            plan(profile, book, limit, slo_ms=slo_ms)
        if candidates:
            assert caught.value.nearest == pytest.approx(min(one.chained_ms for one in candidates))
        return
    found = plan(profile, book, limit, slo_ms=slo_ms)
    moved = reordered(profile, found.order or range(len(profile.layers)))
    check_plan(found, len(profile.layers))
    check_profile(moved)
    assert evaluate(moved, book, limit, shape_of(found)) == found.predicted
    best = min(one.usd for one in fit)
    # Another order is taken where it saves a millionth.
    assert found.predicted.cost_per_million_usd == pytest.approx(best, rel=2 * SLACK)


@settings(max_examples=30)
@given(st.integers(0, 1 << 20), st.sampled_from([None, 1.02, 1.1, 1.5]), st.sampled_from([None, 2, 4]))
def test_what_is_searched_first_hides_nothing(seed: int, share: float | None, most: int | None) -> None:
    """The best chain over all boundaries is found though a few are searched at first, and not all after that."""
    rng = random.Random(seed)
    profile = random_layers(rng, block(0, [rng.randint(1, 3) for _ in range(3)]))
    decider = Decider(Sizing(profile, PAPER, None), FREE, most, "cost")
    problem = decider.problem(range(len(profile.layers) + 1))
    slo_ms = None if share is None else share * decider.choose_unsplit(None).latency_ms
    branches = branches_of(profile, problem.table.positions, EXACT)
    assert branches is not None
    best = decider.choose(branches.problem(decider), slo_ms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrange, "_FIRST", 5)
        found = arranged(decider, problem, slo_ms, EXACT)
    assert found.chosen.cost_usd == pytest.approx(best.cost_usd, rel=2 * SLACK)
    assert len(found.chosen.slices) <= (most or len(profile.layers))


@few_questions
@given(branching(), books(), limits())
def test_the_fastest_over_all_orders(profile: Profile, book: PriceBook, limit: PlatformLimits) -> None:
    candidates = all_plans(profile, book, limit)
    if not candidates:
        return
    found = plan(profile, book, limit, objective="latency")
    moved = reordered(profile, found.order or range(len(profile.layers)))
    least_ms = min(one.chained_ms for one in candidates)
    assert chained_ms(moved, book, limit, shape_of(found)) == pytest.approx(least_ms, rel=2 * SLACK)


@settings(max_examples=100)
@given(branching(7), st.data())
def test_the_lattice_says_of_each_slice_what_the_reordered_profile_does(profile: Profile, data: st.DataObject) -> None:
    """Of an order, cut wherever it can be, with layers in canonical order between the cuts."""
    order = data.draw(st.sampled_from(list(orders_of(profile))[:50]))
    positions = [cut.index for cut in reordered(profile, order).cut_positions]
    cuts = sorted(data.draw(st.sets(st.sampled_from(positions)))) if positions else []
    spans = list(pairwise((0, *cuts, len(order))))
    inside = tuple(layer for start, stop in spans for layer in sorted(order[start:stop]))
    moved = reordered(profile, inside)
    branches = branches_of(profile, [0, *(cut.index for cut in profile.cut_positions), len(order)], EXACT)
    if branches is None:
        assert inside == tuple(range(len(order)))
        return
    lattice, costs = branches.lattice, call_costs(profile, FREE)
    table, wanted = lattice.table(costs), slice_table(moved, costs, [0, *cuts, len(order)])
    number = {frozenset(np.flatnonzero(held).tolist()): row for row, held in enumerate(lattice.holds)}
    path = [number[frozenset(inside[:place])] for place in (0, *cuts, len(order))]
    assert lattice.order(path) == inside
    for row, (start, stop) in enumerate(pairwise(path)):
        assert lattice.candidates()[start, stop]
        for column in ("memory_mib", "inside_ms", "outside_ms", "input_bytes", "output_bytes", "file_bytes", "init_ms"):
            got, want = (float(getattr(t, column)[at]) for t, at in ((table, (start, stop)), (wanted, (row, row + 1))))
            assert got == pytest.approx(want, rel=1e-9, abs=1e-6), column


@settings(max_examples=100)
@given(branching(7), st.data())
def test_a_reordered_profile(profile: Profile, data: st.DataObject) -> None:
    """It is sound, keeps what the canonical order has in common with it, and comes back."""
    every = list(orders_of(profile))
    order = data.draw(st.sampled_from(every[:50]))
    moved = reordered(profile, order)
    check_profile(moved)
    assert reordered(profile, every[0]) is profile
    assert [layer.nodes for layer in moved.layers] == [profile.layers[number].nodes for number in order]
    known = {cut.index: cut for cut in profile.cut_positions}
    sizes = {t.name: t.bytes for t in profile.tensors}
    for cut in moved.cut_positions:
        before = set(order[: cut.index])
        if before == set(range(cut.index)):
            assert cut == known[cut.index]
            continue
        across = {t.name for t in profile.tensors if t.producer in before and set(t.consumers) - before}
        assert set(cut.tensors) == across
        assert cut.bytes == sum(sizes[name] for name in across)


@settings(max_examples=100)
@given(branching(7), st.data())
def test_memory_of_layers_in_another_order(profile: Profile, data: st.DataObject) -> None:
    """By its definition: what is live then, less what a layer saved by writing over a tensor that still dies there."""
    order = data.draw(st.sampled_from(list(orders_of(profile))[:50]))
    moved = reordered(profile, order)
    for layer, place in zip(order, range(len(order)), strict=True):
        saved = _live(profile, layer) - profile.layers[layer].activation_bytes
        touched = {t.name for t in profile.tensors if layer in t.consumers and t.producer >= 0 and last_use(t) == layer}
        dying = {t.name for t in moved.tensors if t.name in touched and last_use(t) == place}
        got = moved.layers[place].activation_bytes
        if dying == touched:
            assert got == _live(moved, place) - saved
        elif not dying:
            assert got == _live(moved, place)
        assert _live(moved, place) - saved <= got <= _live(moved, place)


def _live(profile: Profile, layer: int) -> int:
    return sum(t.bytes for t in profile.tensors if t.consumers and t.producer <= layer <= last_use(t))


@settings(max_examples=100)
@given(branching(8))
def test_sections_are_where_orders_differ(profile: Profile) -> None:
    """Positions outside sections are passed by every order; boundaries inside are the prefixes of all orders."""
    runs = runs_of(profile)
    prefixes = {
        frozenset(order[: cut.index]) for order in orders_of(profile) for cut in reordered(profile, order).cut_positions
    }
    found = set()
    for section in sections_of(runs):
        inside, complete = boundaries_of(runs, section, 0, exact_runs=8)
        assert complete
        assert section.first in inside
        assert section.last in inside
        assert any(not is_canonical(boundary) for boundary in inside)
        found |= {_layers(profile, boundary) for boundary in inside}
    outside = {frozenset(range(cut.index)) for cut in profile.cut_positions}
    assert prefixes == (found | outside) - {frozenset(), frozenset(range(len(profile.layers)))}


def _layers(profile: Profile, boundary: int) -> frozenset[int]:
    runs = runs_of(profile)
    return frozenset(n for at, run in enumerate(runs) if boundary >> at & 1 for n in range(run.start, run.stop))


@settings(max_examples=50)
@given(branching(8), st.integers(2, 12))
def test_a_beam_keeps_boundaries_of_the_fewest_bytes(profile: Profile, most: int) -> None:
    runs = runs_of(profile)
    for section in sections_of(runs):
        every, _ = boundaries_of(runs, section, 0, exact_runs=8)
        some, complete = boundaries_of(runs, section, most, exact_runs=0)
        assert complete == (len(every) <= most + 2)
        assert some.items() <= every.items()
        assert {one for one in every if is_canonical(one)} <= some.keys()
        _bytes_are_those_that_cross(profile, section, every)


def _bytes_are_those_that_cross(profile: Profile, section: Section, inside: dict[int, int]) -> None:
    def crossing(boundary: int) -> int:
        held = _layers(profile, boundary)
        made = [t for t in profile.tensors if t.producer in held and not set(t.consumers) <= held]
        return sum(t.bytes for t in made if t.consumers)

    first = crossing(section.first)
    for boundary, more in inside.items():
        assert more == crossing(boundary) - first


def test_the_text_form_says_the_order() -> None:
    profile = two_towers()
    slow = replace(FREE, hop_ms=0.5, hop_ms_per_mib=5.0)
    found = plan(profile, PAPER, slow, slo_ms=None, max_functions=2)
    line = plan_text(found)
    read = parse_plan(line)
    assert read.order == found.order
    assert chain_shape(reordered(profile, read.order), read.slices) == shape_of(found)
    for wrong in ("0-2,4", "0,0-6", "x"):
        bad = line.replace(" order=", f" order={wrong},")
        with pytest.raises(UsageError):
            parse_plan(bad)


def test_an_order_has_each_layer_once() -> None:
    good = plan_cuts(two_towers(), PAPER, FREE, [2])
    check_plan(replace(good, order=(1, 0, 2, 3, 4, 5, 6)), 7)
    with pytest.raises(UsageError, match="each of the 7 layers once"):
        check_plan(replace(good, order=(0, 0, 2, 3, 4, 5, 6)), 7)


def test_the_front_has_plans_of_other_orders() -> None:
    slow = replace(FREE, hop_ms=0.5, hop_ms_per_mib=5.0)
    points = plan_front(two_towers(), PAPER, slow, max_functions=2)
    assert any(point.order and point.cuts == (3,) for point in points)
    cheapest = min(point.cost_per_million_usd for point in points)
    best = plan(two_towers(), PAPER, slow, slo_ms=None, max_functions=2)
    assert cheapest == pytest.approx(best.predicted.cost_per_million_usd)
