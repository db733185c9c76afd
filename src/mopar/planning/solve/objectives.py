"""The best chain for each objective, by one or a few searches."""

import math

from mopar.planning.numbers import TOLERANCE, up_to
from mopar.planning.policy import SolvePolicy
from mopar.planning.solve.bounds import fewest_functions, least_latency_ms
from mopar.planning.solve.chains import Chain, Chains
from mopar.planning.solve.orchestrated import best_chain
from mopar.planning.solve.paths import cost_to_go
from mopar.planning.solve.weighed import Objective


def cheapest(chains: Chains, slo_ms: float | None, policy: SolvePolicy) -> Chain:
    """The chain of least cost, and among those of equal cost up to ``policy.tie``, the faster."""
    least_usd, least_ms = (cost_to_go(weight, None).least for weight in (chains.cost_usd, chains.latency_ms))
    priced = least_usd > 0 and least_ms > 0
    return best_chain(
        chains, Objective(latency=policy.tie * least_usd / least_ms if priced else 1.0, slo_ms=slo_ms), policy
    )


def fastest(chains: Chains, least_ms: float, policy: SolvePolicy) -> Chain:
    """The cheapest of the fastest chains, whose latency is ``least_ms`` up to rounding."""
    return best_chain(chains, Objective(slo_ms=least_ms), policy)


def fastest_within(
    chains: Chains, least_ms: float, slo_ms: float | None, budget_usd: float, policy: SolvePolicy
) -> Chain:
    """The fastest chain within the budget, to ``policy.grid_ms``: by bisection of the latency limit.

    Where none is within the budget, the cheapest.
    """
    best = cheapest(chains, slo_ms, policy)
    most_usd = up_to(budget_usd)
    if best.cost_usd > most_usd:
        return best
    low_ms = least_ms
    fast = fastest(chains, least_ms, policy)
    if fast.cost_usd <= most_usd:
        return fast
    while best.latency_ms - low_ms > policy.grid_ms:
        middle_ms = (low_ms + best.latency_ms) / 2
        found = cheapest(chains, middle_ms, policy)
        if found.cost_usd <= most_usd:
            best = found
        else:
            low_ms = middle_ms
    return best


def balanced(chains: Chains, least_ms: float, slo_ms: float | None, policy: SolvePolicy) -> Chain:
    """The knee of the front, or the knee of chains without parallel parts where that gains more than it gives away.

    Parts buy latency at a multiple of the cost, so they may stretch the front until a point just below the line between
    its ends saves a fifth of the latency at three times the cost. What is gained and given away are shares of the
    first knee's cost and latency.
    """
    found = knee(chains, least_ms, slo_ms, policy)
    serial = chains.without_parts()
    if serial is chains or math.isinf(fewest_functions(serial)):
        return found
    serial_ms = least_latency_ms(serial)
    if math.isinf(serial_ms) or (slo_ms is not None and serial_ms > up_to(slo_ms)):
        return found
    other = knee(serial, serial_ms, slo_ms, policy)
    pairs = ((found.cost_usd, other.cost_usd), (found.latency_ms, other.latency_ms))
    gain = sum((before - after) / before for before, after in pairs if before > 0)
    return other if gain > policy.worth else found


def knee(chains: Chains, least_ms: float, slo_ms: float | None, policy: SolvePolicy) -> Chain:
    """The point of the front of cost and latency that lies farthest below the line through the front's ends.

    It minimises a weighted sum, with weights that make both ends equal, so no front is needed. Where no point lies
    below the line, it is the end with the lower product of cost and latency.
    """
    cheap, fast = cheapest(chains, slo_ms, policy), fastest(chains, least_ms, policy)
    spread_usd, spread_ms = fast.cost_usd - cheap.cost_usd, cheap.latency_ms - fast.latency_ms
    if spread_usd <= TOLERANCE * fast.cost_usd:
        return fast
    if spread_ms <= TOLERANCE * cheap.latency_ms:
        return cheap
    found = best_chain(chains, Objective(cost=1 / spread_usd, latency=1 / spread_ms, slo_ms=slo_ms), policy)
    below = (cheap.cost_usd - found.cost_usd) / spread_usd + (cheap.latency_ms - found.latency_ms) / spread_ms
    return found if below > TOLERANCE else min(cheap, fast, key=lambda end: end.cost_usd * end.latency_ms)
