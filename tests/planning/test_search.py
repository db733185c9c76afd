"""The label-setting search on longer chains than brute force over plans can handle, with binding latency limits."""

from dataclasses import replace
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mopar.planning import plan
from mopar.planning.policy import DEFAULT, SolvePolicy
from mopar.planning.solve.chains import Chains
from mopar.planning.solve.search import solve
from mopar.planning.solve.weighed import Objective
from mopar.planning.space.problem import free_problem
from mopar.planning.space.question import make_question
from mopar.types import Profile, RuntimeCosts, WeightProfile
from tests.profiles import FREE, MIB, PAPER, chain, make_profile, tensor

COUNT = 9


@st.composite
def uneven(draw: st.DrawFn) -> Profile:
    """A chain whose cuts differ in their savings and in their latency."""
    plain = chain(COUNT)
    size = st.integers(1, 8).map(lambda number: number * MIB)
    tensors = tuple(tensor(f"t{n}", draw(size), n, (n + 1,)) for n in range(-1, COUNT))
    weights = tuple(WeightProfile(f"w{n}", 0, 8 * draw(size), 0) for n in range(COUNT))
    layers = tuple(replace(layer, latency_ms=draw(st.floats(0.5, 5.0))) for layer in plain.layers)
    costs = RuntimeCosts(45.0, 0.05, 0.025, 0.5, 120.0)
    return make_profile(layers, tensors, weights, tuple(range(1, COUNT)), runtime=costs)


def paths(most: int) -> list[tuple[tuple[int, int], ...]]:
    """All chains of at most so many slices, by position number."""
    inner = range(1, COUNT)
    return [tuple(pairwise((0, *cuts, COUNT))) for number in range(most) for cuts in combinations(inner, number)]


def chains_of(profile: Profile, most: int | None) -> Chains:
    return free_problem(make_question(profile, PAPER, FREE, max_functions=most, cpu=1.0), range(COUNT + 1)).chains


@settings(max_examples=300)
@given(uneven(), st.floats(0.0, 1.0), st.sampled_from([None, 2, 3, 4]))
def test_an_slo_between_the_fastest_and_the_cheapest(profile: Profile, share: float, most: int | None) -> None:
    chains = chains_of(profile, most)
    figures = [
        (float(sum(chains.cost_usd[0][edge] for edge in path)), float(sum(chains.latency_ms[0][edge] for edge in path)))
        for path in paths(most or COUNT)
    ]
    fastest_ms, cheapest_ms = min(ms for _, ms in figures), min(figures)[1]
    slo_ms = fastest_ms + share * (cheapest_ms - fastest_ms)
    found = solve(chains, Objective(slo_ms=slo_ms))
    assert found.grid_ms == 0
    assert found.latency_ms <= slo_ms * (1 + 1e-6)
    assert found.cost_usd == pytest.approx(min(usd for usd, ms in figures if ms <= slo_ms * (1 + 1e-9)), rel=1e-9)


@settings(max_examples=30)
@given(uneven(), st.floats(0.2, 0.8))
def test_where_there_are_too_many_labels_the_answer_is_exact_to_a_step_per_slice(
    profile: Profile, share: float
) -> None:
    chains = chains_of(profile, None)
    fast, cheap = solve(chains, Objective(cost=0.0, latency=1.0)), solve(chains, Objective())
    slo_ms = fast.latency_ms + share * (cheap.latency_ms - fast.latency_ms)
    exact = solve(chains, Objective(slo_ms=slo_ms))
    sooner_ms = max(slo_ms - DEFAULT.solve.grid_ms * COUNT, fast.latency_ms)
    sooner = solve(chains, Objective(slo_ms=sooner_ms))
    stepped = solve(chains, Objective(slo_ms=slo_ms), SolvePolicy(most_labels=0))
    assert stepped.latency_ms <= slo_ms * (1 + 1e-6)
    assert exact.cost_usd * (1 - 1e-9) <= stepped.cost_usd
    if sooner_ms > fast.latency_ms:
        assert stepped.cost_usd <= sooner.cost_usd * (1 + 1e-9)


def test_a_number_of_functions_that_no_chain_has_is_no_question() -> None:
    """Six functions are needed, ten would be cheapest, and seven are allowed."""
    limits = replace(FREE, package_bytes=100 * MIB, max_functions=7)
    found = plan(chain(12, weight=40 * MIB, latency_ms=20.0), PAPER, limits, slo_ms=None)
    assert 6 <= len(found.functions) <= 7
