"""Replicas for a rate of requests: as many as keep each below its share of busy time, and no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.planning import plan_cuts, scaled
from mopar.types import Profile, UsageError
from tests.planning.strategies import profiles
from tests.profiles import FREE, PAPER, chain

BUSY = 0.7


@given(profile=profiles(), rate=st.floats(0.01, 10_000))
def test_replicas_are_busy_enough_and_not_too_busy(profile: Profile, rate: float) -> None:
    cuts = [cut.index for cut in profile.cut_positions]
    found = scaled(plan_cuts(profile, PAPER, FREE, cuts, slo_ms=None), rate)
    assert found.scale is not None
    sides = ((found.scale.plan, found.predicted), (found.scale.unsplit, found.unsplit))
    for side, predicted in sides:
        for function, figures in zip(side.functions, predicted.functions, strict=True):
            busy = rate * (figures.latency_ms + figures.waiting_ms) / 1e3
            assert busy / function.replicas == pytest.approx(function.busy_share)
            assert function.busy_share <= BUSY * (1 + 1e-9)
            assert function.replicas == 1 or busy / (function.replicas - 1) > BUSY


def test_what_is_reserved_is_added_up() -> None:
    """Two slices of 8 ms at 200 requests/s: 1.6 busy, three replicas each; unsplit 3.2 busy, five. A CPU each."""
    found = scaled(plan_cuts(chain(4, latency_ms=4.0), PAPER, FREE, [2], slo_ms=None), 200.0)
    assert found.scale is not None
    assert [function.replicas for function in found.functions] == [3, 3]
    assert [function.replicas for function in found.scale.unsplit.functions] == [5]
    assert found.scale.unsplit.memory_mib == 5 * found.unsplit.memory_mib
    assert found.scale.unsplit.cpu == pytest.approx(5.0)
    limits = 3 * sum(function.memory_mib for function in found.functions)
    assert found.scale.plan.gateways == 1
    assert limits < found.scale.plan.memory_mib < limits + 64
    assert 6.0 < found.scale.plan.cpu < 6.5


def test_a_rate_that_is_none_is_refused() -> None:
    made = plan_cuts(chain(2), PAPER, FREE, [1], slo_ms=None)
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="--rate"):
            scaled(made, rate)
