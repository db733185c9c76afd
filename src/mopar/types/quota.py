"""What a CPU quota makes of a request's time."""

import math

PERIOD_MS = 20.0
"""Length of the period in which functions get their quota (``mopar.limits``)."""
_PHASES = 32


def quota_ms(work_ms: float, share: float, *, period_ms: float = PERIOD_MS, idle_before: bool = True) -> float:
    """Expected latency of a request that computes for ``work_ms`` with one thread at ``share`` of a CPU.

    The kernel hands out ``share * period`` at the start of each period; who used it up waits for the next. A request
    that finds the function idle has a whole quota, and comes at any moment of a period: a short one that fits in its
    first quota is not slowed down at all. Requests one after the other share their quotas, so each takes
    ``work / share``.

    Args:
        work_ms: computing time on a whole CPU.
        share: of a CPU; from 1 on, there is nothing to wait for.
        period_ms: of the quota.
        idle_before: whether the function was idle for a period before.
    """
    if share >= 1.0:
        return work_ms
    if not idle_before:
        return work_ms / share
    phases = ((k + 0.5) / _PHASES * period_ms for k in range(_PHASES))
    return sum(_from_phase(work_ms, share * period_ms, period_ms, phase) for phase in phases) / _PHASES


def _from_phase(work_ms: float, quota_ms: float, period_ms: float, phase_ms: float) -> float:
    """Latency of a request that begins ``phase_ms`` into a period whose quota is untouched."""
    left_ms = period_ms - phase_ms
    first_ms = min(quota_ms, left_ms)
    # Where the period ends before its quota does, the next one's follows without a wait.
    straight_ms = first_ms if first_ms < left_ms else first_ms + quota_ms
    if work_ms <= straight_ms:
        return work_ms
    rest_ms = work_ms - straight_ms
    resumes_ms = left_ms if first_ms < left_ms else left_ms + period_ms
    whole = math.ceil(rest_ms / quota_ms) - 1
    return resumes_ms + whole * period_ms + rest_ms - whole * quota_ms
