"""What looking at fewer cut positions loses, as far as it can be measured cheaply: with fewer still, what is lost?"""

from mopar.planning.decide import Decider
from mopar.planning.problem import Problem
from mopar.planning.search import Chosen
from mopar.planning.thin import thinned
from mopar.types import InfeasibleError


def merging_note(decider: Decider, problem: Problem, chosen: Chosen, slo_ms: float | None, positions: list[int]) -> str:
    """How many of a profile's cut ``positions`` a problem looks at, and how its best plan compares with one of fewer.

    The question is answered once more with half the positions or less, which takes a quarter of the time. Where that
    costs next to nothing, the positions left out before are not worth much either; it is a measurement, not a bound.
    """
    looked_at = problem.end - 1
    fewer = thinned(decider.sizing.profile, positions, most=max(looked_at // 2, 1))
    text = f"{looked_at} of {len(positions)} cut positions looked at"
    try:
        rough = decider.choose(decider.problem([0, *fewer, problem.table.positions[-1]], in_parts=True), slo_ms)
    except InfeasibleError:
        return f"{text} (with {len(fewer)} no plan keeps the limits)"
    latency = rough.latency_ms / chosen.latency_ms if chosen.latency_ms > 0 else 1.0
    cost = rough.cost_usd / chosen.cost_usd if chosen.cost_usd > 0 else 1.0
    return f"{text} (with {len(fewer)}, the best plan has {cost:.3f}x this cost and {latency:.3f}x this latency)"
