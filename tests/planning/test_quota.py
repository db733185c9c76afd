"""The closed form of a quota's effect, compared with a simulation of the kernel's periods."""

import math

from hypothesis import given
from hypothesis import strategies as st

from mopar.planning.model.quota import least_work_mib, quota_ms

PHASES = 2000
PERIOD_MS = 20.0


def simulated_ms(work_ms: float, share: float, phase_ms: float) -> float:
    """Latency of a call that begins ``phase_ms`` into a period with an unused quota."""
    quota_ms, now_ms = share * PERIOD_MS, phase_ms
    left_ms = work_ms
    while True:
        ends_ms = (math.floor(now_ms / PERIOD_MS + 1e-9) + 1) * PERIOD_MS
        ran_ms = min(left_ms, quota_ms, ends_ms - now_ms)
        left_ms -= ran_ms
        if left_ms <= 1e-9:
            return now_ms + ran_ms - phase_ms
        now_ms = ends_ms


@given(st.floats(0.1, 120), st.floats(0.05, 1.0))
def test_the_mean_over_all_moments_of_a_period(work_ms: float, share: float) -> None:
    phases = ((number + 0.5) / PHASES * PERIOD_MS for number in range(PHASES))
    mean_ms = sum(simulated_ms(work_ms, share, phase) for phase in phases) / PHASES
    # Work of whole quotas is at a step of the function, where a sum over moments may fall on either side.
    quotas = work_ms / (share * PERIOD_MS)
    if abs(quotas - round(quotas)) > 2e-3:
        assert math.isclose(quota_ms(work_ms, share, PERIOD_MS), mean_ms, rel_tol=2e-3)


@given(st.floats(0.01, 500), st.floats(0.01, 1.0), st.floats(100, 4000))
def test_no_size_takes_less_memory_and_time_than_the_bound(work_ms: float, share: float, mib_per_cpu: float) -> None:
    least = least_work_mib(work_ms, mib_per_cpu, PERIOD_MS) * work_ms
    assert share * mib_per_cpu * quota_ms(work_ms, share, PERIOD_MS) >= least * (1 - 1e-9)
