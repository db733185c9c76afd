"""The search finds the optimum of brute force, on random profiles, books and limits."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mopar.planning import check_plan, evaluate, plan, shape_of
from mopar.planning.policy import DEFAULT
from mopar.types import InfeasibleError, Plan, PlatformLimits, PriceBook, Profile
from tests.planning.oracle import candidates
from tests.planning.strategies import books, limits, profiles
from tests.profiles import STRICT

SLACK = 1e-6
random_questions = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def valid(found: Plan, profile: Profile, book: PriceBook, limit: PlatformLimits) -> None:
    """Invariants of every plan: each layer once, producers first, and figures that can be recomputed."""
    check_plan(found, len(profile.layers))
    assert evaluate(profile, book, limit, shape_of(found)) == found.predicted
    assert (found.verdict == "split") == (len(found.functions) > 1)
    assert "\n" not in found.reason
    if limit.max_functions is not None:
        assert len(found.functions) <= limit.max_functions


@random_questions
@given(profiles(), books(), limits(), st.sampled_from([None, 0.9, 1.0, 1.1, 1.5]))
def test_cheapest_within_an_slo(profile: Profile, book: PriceBook, limit: PlatformLimits, share: float | None) -> None:
    everything = list(candidates(profile, book, limit))
    slo_ms = None
    if share is not None:
        slo_ms = share * (everything[0].predicted.latency_ms if everything else 10.0)
    fit = [one for one in everything if slo_ms is None or one.predicted.latency_ms <= slo_ms * (1 + 1e-9)]
    if not fit:
        with pytest.raises(InfeasibleError) as caught:
            plan(profile, book, limit, slo_ms=slo_ms)
        if everything:
            assert caught.value.limit == "slo_ms"
            assert caught.value.nearest == pytest.approx(min(one.predicted.latency_ms for one in everything))
        return
    found = plan(profile, book, limit, slo_ms=slo_ms, exact=True)
    valid(found, profile, book, limit)
    assert slo_ms is None or found.predicted.latency_ms <= slo_ms * (1 + SLACK)
    best = min(one.predicted.cost_per_million_usd for one in fit)
    assert found.predicted.cost_per_million_usd == pytest.approx(best, rel=SLACK)


@random_questions
@given(profiles(), books(), limits())
def test_the_cheapest_of_the_fastest(profile: Profile, book: PriceBook, limit: PlatformLimits) -> None:
    everything = list(candidates(profile, book, limit))
    if not everything:
        with pytest.raises(InfeasibleError):
            plan(profile, book, limit, objective="latency")
        return
    found = plan(profile, book, limit, objective="latency", exact=True)
    valid(found, profile, book, limit)
    least_ms = min(one.predicted.latency_ms for one in everything)
    assert found.predicted.latency_ms <= least_ms * DEFAULT.solve.as_fast * (1 + SLACK)
    fastest = [one for one in everything if one.predicted.latency_ms <= least_ms * DEFAULT.solve.as_fast * (1 - 1e-9)]
    best = min(one.predicted.cost_per_million_usd for one in fastest)
    assert found.predicted.cost_per_million_usd <= best * (1 + SLACK)


@random_questions
@given(profiles(), books(), limits())
def test_balanced_is_the_knee_of_the_front(profile: Profile, book: PriceBook, limit: PlatformLimits) -> None:
    """No plan is farther below the line from the cheapest to the fastest plan."""
    everything = [one.predicted for one in candidates(profile, book, limit)]
    if not everything:
        return
    found = plan(profile, book, limit, objective="balanced", exact=True)
    valid(found, profile, book, limit)
    cheap = min(everything, key=lambda one: (one.cost_per_million_usd, one.latency_ms))
    fast = min(everything, key=lambda one: (one.latency_ms, one.cost_per_million_usd))
    usd = fast.cost_per_million_usd - cheap.cost_per_million_usd
    ms = cheap.latency_ms - fast.latency_ms
    # Where the ends (nearly) coincide there is no line.
    if usd <= 1e-3 * fast.cost_per_million_usd or ms <= 1e-3 * cheap.latency_ms:
        return
    best = min(one.cost_per_million_usd / usd + one.latency_ms / ms for one in everything)
    got = found.predicted.cost_per_million_usd / usd + found.predicted.latency_ms / ms
    # The ends are found up to a ten-millionth of their cost, which tilts the line by that share of its height.
    assert got == pytest.approx(best, rel=1e-3)


@random_questions
@given(profiles(), books(), limits())
def test_the_default_slo_is_relative_to_the_fastest_unsplit(
    profile: Profile, book: PriceBook, limit: PlatformLimits
) -> None:
    try:
        whole = plan(profile, book, replace(limit, max_functions=1), objective="latency", policy=STRICT)
        found = plan(profile, book, limit)
    except InfeasibleError:  # limits forbid the unsplit model, by memory too: the fastest plan counts then
        return
    assert found.slo_ms is not None
    # Rounded up to a microsecond.
    assert found.slo_ms == pytest.approx(1.03 * whole.predicted.latency_ms + 0.0005, abs=0.0005 + SLACK)
    assert found.predicted.latency_ms <= found.slo_ms * (1 + SLACK)
