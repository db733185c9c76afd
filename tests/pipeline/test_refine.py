"""Refinement by measurement: a corrected profile predicts the measured figures, and the loop terminates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mopar.gateway.arrays import Array
from mopar.graph import Model
from mopar.pipeline import refine as refining
from mopar.pipeline.correction import corrected
from mopar.pipeline.refine import refine
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.planning import evaluate, shape_of
from mopar.platforms.books import load_book, load_limits
from mopar.types import Plan, Profile
from mopar.types.reports import PredictedMeasured, Verification, VerifiedFunction
from tests.profiles import MIB, chain


def measurement(plan: Plan, *, slower: Sequence[float], more_mib: Sequence[float], between_ms: float) -> Verification:
    """A machine that takes a multiple of the predicted time."""
    functions = tuple(
        VerifiedFunction(
            name=function.name,
            predicted_mib=function.memory_mib,
            measured_mib=function.memory_mib + mib,
            limit_mib=round(function.memory_mib) + 50,
            predicted_ms=function.billed_ms,
            measured_ms=function.billed_ms + ms,
            survived=True,
        )
        for function, ms, mib in zip(plan.predicted.functions, slower, more_mib, strict=True)
    )
    latency = plan.predicted.latency_ms
    took = PredictedMeasured(latency, latency + sum(slower) + between_ms * len(functions))
    return Verification(True, 0.0, 0.0, 1e-4, 1, functions, took)


def evaluated(profile: Profile, plan: Plan) -> Plan:
    """The same plan, as the profile predicts it."""
    limits = load_limits("local")
    return replace(plan, predicted=evaluate(profile, load_book(limits.prices), limits, shape_of(plan)))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 4),
    st.lists(st.floats(-0.5, 5.0), min_size=4, max_size=4),
    st.lists(st.floats(-3.0, 30.0), min_size=4, max_size=4),
    st.floats(0.0, 0.5),
)
def test_a_corrected_profile_predicts_what_was_measured(
    count: int, slower: list[float], more_mib: list[float], between_ms: float
) -> None:
    profile = chain(8, weight=20 * MIB)
    profile = replace(profile, runtime=replace(profile.runtime, wire_ms_per_mib=0.0))
    plan = make_plan(profile, PlanOptions(uniform=count, slo_ms=None))
    found = measurement(plan, slower=slower[:count], more_mib=more_mib[:count], between_ms=between_ms)
    again = evaluated(corrected(profile, plan, found), plan).predicted
    assert again.latency_ms == pytest.approx(found.latency_ms.measured, rel=0.01)
    for function, measured in zip(again.functions, found.functions, strict=True):
        assert function.billed_ms == pytest.approx(measured.measured_ms, rel=0.01)
        assert function.memory_mib == pytest.approx(measured.measured_mib, rel=0.01)


def loop(profile: Profile, machine: Profile, tries: int, monkeypatch: pytest.MonkeyPatch) -> refining.Refined:
    """Refine on a machine that behaves exactly like another profile."""

    def measured(_model: Model, plan: Plan, _whole: object, _requests: Sequence[Mapping[str, Array]]) -> Verification:
        real = evaluated(machine, plan).predicted
        return measurement(
            plan,
            slower=[b.billed_ms - a.billed_ms for a, b in zip(plan.predicted.functions, real.functions, strict=True)],
            more_mib=[
                b.memory_mib - a.memory_mib for a, b in zip(plan.predicted.functions, real.functions, strict=True)
            ],
            between_ms=0.0,
        )

    monkeypatch.setattr(refining, "_measured", measured)
    return refine(None, profile, PlanOptions(slo_ms=None), None, [], tries=tries)  # type: ignore[arg-type]


def test_the_loop_ends_with_a_plan_that_does_as_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile predicts free hops; on the machine each costs 5 ms, so fewer functions are better."""
    machine = chain(8, weight=60 * MIB, latency_ms=10.0)
    machine = replace(machine, runtime=replace(machine.runtime, hop_ms=6.0, hop_billed_ms=5.0))
    profile = replace(machine, runtime=replace(machine.runtime, hop_ms=0.0, hop_billed_ms=0.0))
    found = loop(profile, machine, 5, monkeypatch)
    assert found.held
    assert not found.plan.tries[0].held
    right = make_plan(machine, PlanOptions(slo_ms=None))
    assert len(found.plan.functions) == len(right.functions)
    assert len(found.plan.tries) <= 4


def test_where_tries_end_it_says_that_nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = chain(8, weight=60 * MIB, latency_ms=10.0)
    profile = replace(machine, layers=tuple(replace(layer, latency_ms=5.0) for layer in machine.layers))
    profile = replace(profile, whole=replace(profile.whole, latency_ms=40.0))
    found = loop(profile, machine, 1, monkeypatch)
    assert not found.held
    assert len(found.plan.tries) == 1
