"""The best chain where what runs its calls is paid for as long as a request lasts, in whole units of time.

That price is no sum over slices: what a slice adds depends on how long the others take. A chain of one function as a
whole needs nothing that runs it, so the two cases are searched by themselves. Of the others, the first search takes the
price as linear in latency, which bounds it from below. Then, for limits on latency that get shorter, the cheapest chain
without that price: once none can be short enough to make up for what it costs more, the best one has been met.
"""

import math
from dataclasses import replace

import numpy as np

from mopar.planning.numbers import TOLERANCE, up_to
from mopar.planning.policy import SolvePolicy
from mopar.planning.solve.bounds import fewest_functions, least_latency_ms
from mopar.planning.solve.chains import Chain, Chains, HeldPrice
from mopar.planning.solve.search import solve
from mopar.planning.solve.weighed import Objective


def best_chain(chains: Chains, objective: Objective, policy: SolvePolicy) -> Chain:
    """The best chain, what runs it included in its cost. A chain within all limits must exist."""
    held = chains.held
    if held is None:
        return solve(chains, objective, policy)
    found = []
    whole, split = _whole(chains), _split(chains)
    if _has_chain(whole, objective.slo_ms):
        found.append(solve(whole, objective, policy))
    if _has_chain(split, objective.slo_ms):
        enough = min((_weight(chain, objective) for chain in found), default=np.inf)
        found.append(_best_split(split, objective, held, enough, policy))
    return min(found, key=lambda chain: _weight(chain, objective))


def _best_split(chains: Chains, objective: Objective, held: HeldPrice, enough: float, policy: SolvePolicy) -> Chain:
    """The best chain of several functions; any one where none weighs less than ``enough``."""
    unit_usd = held.usd_per_ms * held.unit_ms
    linear = replace(objective, latency=objective.latency + objective.cost * held.usd_per_ms)
    first = solve(chains, linear, policy)
    least = _weight(first, linear) + objective.cost * held.request_usd
    best = _paid(first, held)
    if least >= enough or unit_usd <= 0 or held.unit_ms <= policy.fine_ms:
        return best
    limit_ms, least_ms = objective.slo_ms, least_latency_ms(chains)
    for _ in range(policy.most_rounds):
        if _weight(best, objective) <= least * (1 + TOLERANCE):
            break
        found = solve(chains, replace(objective, slo_ms=limit_ms), policy)
        best = min(best, _paid(found, held), key=lambda chain: _weight(chain, objective))
        # Others within the limit weigh no less, without what runs them: a better one must take fewer units of time.
        spared = _weight(best, objective) - _weight(found, objective) - objective.cost * held.request_usd
        units = math.ceil(spared / (objective.cost * unit_usd) - TOLERANCE)
        limit_ms = (min(held.units(found.latency_ms), units) - 1) * held.unit_ms
        if up_to(limit_ms) < least_ms:
            break
    return best


def _weight(chain: Chain, objective: Objective) -> float:
    return objective.cost * chain.cost_usd + objective.latency * chain.latency_ms


def _paid(chain: Chain, held: HeldPrice) -> Chain:
    """The same with what runs it."""
    return replace(chain, cost_usd=chain.cost_usd + held.usd(chain.latency_ms))


def _whole(chains: Chains) -> Chains:
    """The unsplit model alone."""
    kept = np.zeros(chains.cost_usd.shape, dtype=bool)
    kept[0, 0, chains.end] = True
    usd, ms = (np.where(kept, figures, np.inf) for figures in (chains.cost_usd, chains.latency_ms))
    return replace(chains, cost_usd=usd, latency_ms=ms, held=None)


def _split(chains: Chains) -> Chains:
    """All but the unsplit model."""
    return replace(chains.split(), held=None)


def _has_chain(chains: Chains, slo_ms: float | None) -> bool:
    """Whether a chain keeps the limits."""
    fewest = fewest_functions(chains)
    if math.isinf(fewest) or (chains.most_functions is not None and fewest > chains.most_functions):
        return False
    return slo_ms is None or least_latency_ms(chains) <= up_to(slo_ms)
