"""The front of plans: fast, cheap, and holding little memory."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from mopar.planning.decide import Decider
from mopar.planning.feasibility import least_latency_ms
from mopar.planning.orders import Branches
from mopar.planning.problem import Problem
from mopar.planning.search import Chosen, Objective, solve
from mopar.types import InfeasibleError

_STEPS = 12
_MOST_COUNTS = 16


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A plan that no other one of the front beats in latency, cost and memory at once.

    Attributes:
        functions: how many.
        memory_mib: of all of them together.
        latency_ms: of a request.
        cost_per_million_usd: of a million requests.
        cuts: positions, counted in ``order``.
        order: the layers by their canonical numbers; empty for the canonical order.
    """

    functions: int
    memory_mib: int
    latency_ms: float
    cost_per_million_usd: float
    cuts: tuple[int, ...]
    order: tuple[int, ...] = ()


def front(
    decider: Decider, problem: Problem, slo_ms: float | None, branches: Branches | None = None
) -> tuple[FrontPoint, ...]:
    """The front of latency, cost and memory held, fastest first.

    Sought are, for each number of functions up to 16, the cheapest and the fastest plan of at most so many, and, of
    any number, the cheapest at twelve latencies between the two. Of these, each an optimum of its kind, the undominated
    are kept.

    Args:
        decider: for the profile in canonical order.
        problem: over its positions or, where ``branches`` are given, over their boundaries.
        slo_ms: most latency; None for any.
        branches: that leave a choice of orders.

    Raises:
        InfeasibleError: no plan keeps the limits.
    """
    found = [*_ends(problem, slo_ms), *_between(problem, slo_ms)]
    return undominated({_point(decider, problem, chosen, branches) for chosen in found})


def undominated(points: Collection[FrontPoint]) -> tuple[FrontPoint, ...]:
    """The points that no other one beats, fastest first."""
    kept = [point for point in points if not any(_beats(other, point) for other in points)]
    return tuple(sorted(kept, key=lambda point: (point.latency_ms, point.cost_per_million_usd, point.memory_mib)))


def _ends(problem: Problem, slo_ms: float | None) -> list[Chosen]:
    most = min(problem.max_functions or _MOST_COUNTS, problem.end * max(problem.each), _MOST_COUNTS)
    found = []
    for count in range(1, most + 1):
        few = replace(problem, max_functions=count)
        try:
            least_ms = least_latency_ms(few)
        except InfeasibleError:
            continue
        if slo_ms is None or least_ms <= slo_ms:
            found += [solve(few, Objective(slo_ms=slo_ms)), solve(few, Objective(slo_ms=least_ms))]
    return found


def _between(problem: Problem, slo_ms: float | None) -> list[Chosen]:
    least_ms = least_latency_ms(problem)
    if slo_ms is not None and least_ms > slo_ms:
        return []
    cheapest = solve(problem, Objective(slo_ms=slo_ms))
    limits = np.linspace(least_ms, cheapest.latency_ms, _STEPS)
    return [solve(problem, Objective(slo_ms=float(limit))) for limit in limits]


def _point(decider: Decider, problem: Problem, chosen: Chosen, branches: Branches | None) -> FrontPoint:
    moved, order = (decider, ()) if branches is None else branches.placed(decider, chosen)
    shape = moved.shape(problem, chosen)
    predicted = moved.predict(shape)
    return FrontPoint(
        functions=len(shape.functions),
        memory_mib=sum(function.memory_mib for function in shape.functions),
        latency_ms=predicted.latency_ms,
        cost_per_million_usd=predicted.cost_per_million_usd,
        cuts=_cuts(problem, chosen) if branches is None else tuple(graph.start for graph in shape.graphs[1:]),
        order=order,
    )


def _cuts(problem: Problem, chosen: Chosen) -> tuple[int, ...]:
    return tuple(problem.table.positions[start] for start, _, _ in chosen.slices[1:])


def _beats(one: FrontPoint, other: FrontPoint) -> bool:
    mine = (one.latency_ms, one.cost_per_million_usd, one.memory_mib)
    theirs = (other.latency_ms, other.cost_per_million_usd, other.memory_mib)
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))
