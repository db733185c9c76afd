"""The formulas give the same for a number as for arrays, and for a slice as for the table of all slices."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopar.planning import Slice, chain_shape, evaluate
from mopar.planning.model.calls import CallCosts, CallTime, WireCosts, call_time, crossing_time
from mopar.planning.model.memory import required_mib
from mopar.planning.model.prices import billed_ms, bought_mib, calls_usd, with_headroom
from mopar.planning.model.quota import cpu_bound_ms, start_ms
from mopar.planning.numbers import Floats
from mopar.planning.space.problem import free_problem
from mopar.planning.space.question import make_question
from mopar.types import PlatformLimits, PriceBook, Profile
from tests.planning.strategies import books, limits, profiles
from tests.profiles import COUPLED, FREE

COSTS = CallCosts(0.3, 0.2, 0.1, 0.4, 0.05, WireCosts(0.02, 0.03), WireCosts(0.05, 0.01))
WHOLE_MS = 90.0
READING = replace(FREE, start_wait_ms=5.0, start_read_share=0.5)
BILLED_CPU = replace(COUPLED, vcpu_s_usd=1e-5)


def _call(one: Floats, two: Floats) -> Floats:
    """A call that computes for ``one`` ms and transfers ``two`` MiB each way."""
    read, made = (crossing_time(COSTS, two * 2.0**20, side) for side in ("consumer", "producer"))
    both = CallTime(read.inside_ms + made.inside_ms, read.outside_ms + made.outside_ms)
    time = call_time(COSTS, one, WHOLE_MS, both)
    return time.inside_ms + 10.0 * time.outside_ms


FORMULAS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "call": _call,
    "billed": lambda one, two: billed_ms(COUPLED, one) + two,
    "price": lambda one, two: calls_usd(BILLED_CPU, one, two / 60.0, one, two, two),
    "headroom": lambda one, two: with_headroom(one) + two,
    "bought": lambda one, two: bought_mib(COUPLED, one) + two,
    "required": lambda one, two: required_mib(30.0, one * 1e6, two - 60.0),
    "quota": lambda one, two: cpu_bound_ms(COUPLED, one, one / 2.0, two / 60.0 + 0.001, two / 60.0),
    "start": lambda one, two: start_ms(READING, 50.0, one, two / 60.0 + 0.001, 20.0),
}


@pytest.mark.parametrize("name", FORMULAS)
@given(st.lists(st.tuples(st.floats(0.0, 120.0), st.floats(0.0, 120.0)), min_size=1, max_size=8))
def test_a_number_and_an_array(name: str, pairs: list[tuple[float, float]]) -> None:
    formula = FORMULAS[name]
    one, two = (np.array(column) for column in zip(*pairs, strict=True))
    single = [float(formula(a, b)) for a, b in pairs]  # type: ignore[arg-type]
    np.testing.assert_allclose(formula(one, two), single, rtol=1e-12)


@settings(max_examples=60)
@given(profiles(most_layers=6), books(), limits(), st.data())
def test_a_plan_and_the_table_of_slices(
    profile: Profile, book: PriceBook, limit: PlatformLimits, data: st.DataObject
) -> None:
    """A chain's cost and latency are the sums of its slices' at their sizes, and the price of what runs it."""
    limit = replace(limit, max_start_ms=None)  # with it, some slices have no size
    question = make_question(profile, book, limit)
    positions = question.between(question.cut_positions)
    problem = free_problem(question, positions)
    inner = data.draw(st.sets(st.sampled_from(range(1, problem.end)))) if problem.end > 1 else set()
    slices, usd, ms = [], 0.0, 0.0
    for start, stop in pairwise([0, *sorted(inner), problem.end]):
        sizes = problem.sizes((0, start, stop))
        pick = data.draw(st.integers(0, len(sizes.cost_usd) - 1))
        slices.append(Slice(positions[start], positions[stop], sizes.at(pick)))
        usd, ms = usd + float(sizes.cost_usd[pick]), ms + float(sizes.latency_ms[pick])
    predicted = evaluate(profile, book, limit, chain_shape(profile, slices))
    held = problem.chains.held
    usd += held.usd(ms) if held is not None and len(slices) > 1 else 0.0
    assert predicted.cost_per_million_usd == pytest.approx(usd * 1e6)
    assert predicted.latency_ms == pytest.approx(ms)
