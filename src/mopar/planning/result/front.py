"""The Pareto front of plans in latency, cost and memory."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from mopar.planning.model.evaluate import predict
from mopar.planning.result.chain import solution_shape
from mopar.planning.solve.orchestrated import best_chain
from mopar.planning.solve.weighed import Objective
from mopar.planning.space.feasibility import least_latency_ms
from mopar.planning.space.problem import Problem
from mopar.planning.space.solution import Solution
from mopar.types import InfeasibleError


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A plan of the front: no other plan is better in latency, cost and memory at once.

    Attributes:
        functions: number of functions.
        memory_mib: of all of them together.
        latency_ms: of a request.
        cost_per_million_usd: of a million requests.
        cuts: positions.
    """

    functions: int
    memory_mib: int
    latency_ms: float
    cost_per_million_usd: float
    cuts: tuple[int, ...]


def front(problem: Problem, slo_ms: float | None) -> tuple[FrontPoint, ...]:
    """The front of latency, cost and memory held, fastest first.

    It has, for each number of functions up to the policy's, the cheapest and the fastest plan of at most so many, and,
    of any number, the cheapest at some latencies between the two. Of these, each an optimum of its kind, the
    undominated ones are kept.

    Args:
        problem: the space of plans.
        slo_ms: most latency; None for any.

    Raises:
        InfeasibleError: no plan keeps the limits.
    """
    found = [*_ends(problem, slo_ms), *_between(problem, slo_ms)]
    return _undominated({_point(problem, one) for one in found})


def _undominated(points: Collection[FrontPoint]) -> tuple[FrontPoint, ...]:
    """The points that no other point dominates, fastest first."""
    kept = [point for point in points if not any(_beats(other, point) for other in points)]
    return tuple(sorted(kept, key=lambda point: (point.latency_ms, point.cost_per_million_usd, point.memory_mib)))


def _ends(problem: Problem, slo_ms: float | None) -> list[Solution]:
    chains, counts = problem.chains, problem.question.policy.front_functions
    most = min(chains.most_functions or counts, problem.end * max(chains.functions), counts)
    found = []
    for count in range(1, most + 1):
        few = problem.at_most(count)
        try:
            least_ms = least_latency_ms(few)
        except InfeasibleError:
            continue
        if slo_ms is None or least_ms <= slo_ms:
            found += [_solved(few, slo_ms), _solved(few, least_ms)]
    return found


def _between(problem: Problem, slo_ms: float | None) -> list[Solution]:
    least_ms = least_latency_ms(problem)
    if slo_ms is not None and least_ms > slo_ms:
        return []
    cheapest = _solved(problem, slo_ms)
    limits = np.linspace(least_ms, cheapest.latency_ms, problem.question.policy.front_points)
    return [_solved(problem, float(limit)) for limit in limits]


def _solved(problem: Problem, slo_ms: float | None) -> Solution:
    return problem.solution(best_chain(problem.chains, Objective(slo_ms=slo_ms), problem.question.policy.solve))


def _point(problem: Problem, solution: Solution) -> FrontPoint:
    shape = solution_shape(problem, solution)
    predicted = predict(problem.question.model, shape)
    return FrontPoint(
        functions=len(shape.functions),
        memory_mib=sum(function.memory_mib for function in shape.functions),
        latency_ms=predicted.latency_ms,
        cost_per_million_usd=predicted.cost_per_million_usd,
        cuts=tuple(problem.positions[start] for start, _, _ in solution.slices[1:]),
    )


def _beats(one: FrontPoint, other: FrontPoint) -> bool:
    mine = (one.latency_ms, one.cost_per_million_usd, one.memory_mib)
    theirs = (other.latency_ms, other.cost_per_million_usd, other.memory_mib)
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))
