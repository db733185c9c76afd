"""The quota formula against a second-by-second account of what the kernel does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.types.quota import quota_ms

PERIOD, STEP = 20.0, 0.01


def account(work_ms: float, share: float, phase_ms: float) -> float:
    """Step through time: a quota at the start of each period, used while there is work."""
    now, left, quota = phase_ms, work_ms, share * PERIOD
    while left > 1e-9:
        end = (now // PERIOD + 1) * PERIOD
        used = min(left, quota, end - now)
        left, quota, now = left - used, quota - used, now + used
        if left > 1e-9 and (quota <= 1e-9 or end - now <= 1e-9):
            now, quota = end, share * PERIOD
    return now - phase_ms


@given(st.floats(0.1, 200.0), st.sampled_from([0.25, 0.5, 0.75, 0.9]))
def test_expected_latency_is_the_mean_over_moments_of_a_period(work_ms: float, share: float) -> None:
    phases = [(k + 0.5) / 400 * PERIOD for k in range(400)]
    wanted = sum(account(work_ms, share, phase) for phase in phases) / len(phases)
    assert abs(quota_ms(work_ms, share) - wanted) <= 0.02 * wanted + 0.5


@given(st.floats(0.1, 200.0), st.floats(0.1, 1.0))
def test_a_quota_never_speeds_up_and_never_costs_more_than_its_share(work_ms: float, share: float) -> None:
    assert work_ms - 1e-6 <= quota_ms(work_ms, share) <= work_ms / share + PERIOD
    assert quota_ms(work_ms, share, idle_before=False) == pytest.approx(work_ms / share)
