"""Which of two plans of one model an objective prefers."""

from mopar.types import Plan

_ALIKE = 1.0 + 1e-6
WORTH = 1.01
"""By how much a plan that answers less exactly has to be better: predictions err by as much."""


def preferred(one: Plan, other: Plan, by: float = _ALIKE) -> bool:
    """Whether a plan is to be taken in place of another, which encodes other tensors or none.

    Both keep the limits and the SLO. The cheaper one is, of equally cheap ones the quicker one; by the objective
    ``latency`` and with given cuts the quicker one, of equally quick ones the cheaper one; by ``balanced`` the one with
    less cost x latency.

    Args:
        one: a plan.
        other: of the same objective.
        by: how many times better the first has to be, at least.
    """
    usd, ms = (
        [getattr(plan.predicted, figure) for plan in (one, other)] for figure in ("cost_per_million_usd", "latency_ms")
    )
    if one.objective == "balanced":
        return bool(usd[0] * ms[0] * by < usd[1] * ms[1])
    first, second = (usd, ms) if one.objective == "cost" else (ms, usd)
    if first[0] * by < first[1]:
        return True
    return bool(first[0] <= first[1] * _ALIKE and second[0] * by < second[1])
