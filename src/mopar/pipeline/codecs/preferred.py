"""Which of two plans of one model an objective prefers."""

from mopar.types import Plan

_ALIKE = 1.0 + 1e-6


def preferred(coded: Plan, raw: Plan) -> bool:
    """Whether a plan that encodes tensors is to be taken in place of one that does not.

    Both keep the limits and the SLO. The cheaper one is, of equally cheap ones the quicker one; by the objective
    ``latency`` and with given cuts the quicker one, of equally quick ones the cheaper one; by ``balanced`` the one with
    less cost x latency.
    """
    usd, ms = (
        [getattr(plan.predicted, figure) for plan in (coded, raw)] for figure in ("cost_per_million_usd", "latency_ms")
    )
    if coded.objective == "balanced":
        return bool(usd[0] * ms[0] < usd[1] * ms[1])
    first, second = (usd, ms) if coded.objective == "cost" else (ms, usd)
    if first[0] * _ALIKE < first[1]:
        return True
    return bool(first[0] <= first[1] * _ALIKE and second[0] < second[1])
