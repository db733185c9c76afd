"""Reasons for each cut of a chain: the cost with the next-best cut in its place, and with none."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mopar.planning.model.shape import Size
from mopar.planning.numbers import Num, up_to
from mopar.planning.result.chain import function_names
from mopar.planning.solve.paths import Edge
from mopar.planning.space.problem import Problem
from mopar.planning.space.solution import Solution
from mopar.types import CutReason


def cut_reasons(problem: Problem, solution: Solution, slo_ms: float | None) -> tuple[CutReason, ...]:
    """For each cut of a chain, the best plan with another cut in its place, or with none.

    The order of the layers, all other cuts, sizes and numbers of parts stay; the two slices at the cut get new sizes,
    the cheapest ones within the SLO out of the policy's ``most_reason_sizes`` for each. Linear in the number of
    positions between the cut's neighbours.
    """
    spare_ms = np.inf if slo_ms is None else up_to(slo_ms) - solution.latency_ms
    return tuple(
        _reason(problem, solution, number, before, after, spare_ms)
        for number, (before, after) in enumerate(pairwise(solution.slices))
    )


def _reason(
    problem: Problem,
    solution: Solution,
    number: int,
    before: tuple[int, int, Size],
    after: tuple[int, int, Size],
    spare_ms: float,
) -> CutReason:
    (start, cut, size), (_, stop, _) = before, after
    usd, taken_ms = (sum(values) for values in zip(*(_paid(problem, piece) for piece in (before, after)), strict=True))
    within_ms, beside_ms = taken_ms + spare_ms, solution.latency_ms - taken_ms
    usd += _orchestration_usd(problem, solution.latency_ms)
    first, second = (problem.chains.functions.index(size.parts) for _, _, size in (before, after))
    others = {
        at: _cheapest(problem, [(first, start, at), (second, at, stop)], within_ms, beside_ms)
        for at in range(start + 1, stop)
        if at != cut
    }
    possible = {at: found for at, found in others.items() if found is not None}
    nearest = min(possible, key=lambda at: possible[at], default=None)
    options = range(len(problem.chains.functions))
    as_one = [_cheapest(problem, [(option, start, stop)], within_ms, beside_ms) for option in options]
    merged = min((found for found in as_one if found is not None), default=None)
    at = problem.positions
    return CutReason(
        functions=function_names(number, size.parts),
        cut=at[cut],
        next_best=None if nearest is None else at[nearest],
        next_usd=None if nearest is None else possible[nearest][0] - usd,
        next_ms=None if nearest is None else possible[nearest][1] - taken_ms,
        without_usd=None if merged is None else merged[0] - usd,
        without_ms=None if merged is None else merged[1] - taken_ms,
        total_usd=solution.cost_usd,
    )


def _paid(problem: Problem, piece: tuple[int, int, Size]) -> tuple[float, float]:
    """Price and latency of a slice at its size."""
    start, stop, size = piece
    sizes = problem.sizes((problem.chains.functions.index(size.parts), start, stop))
    # Found among the slice's sizes, whose figures may be summed in another order: equal up to rounding.
    off = abs(sizes.memory_mib - size.memory_mib) + abs(sizes.cpu - size.cpu) + abs(sizes.threads - size.threads)
    found = int(np.argmin(off))
    return float(sizes.cost_usd[found]), float(sizes.latency_ms[found])


def _orchestration_usd(problem: Problem, latency_ms: Num, edges: Sequence[Edge] = ()) -> Num:
    """The price of what runs a plan of some latency; nothing where ``edges`` are the unsplit model."""
    held = problem.chains.held
    return latency_ms * 0.0 if held is None or list(edges) == [(0, 0, problem.end)] else held.usd(latency_ms)


def _cheapest(
    problem: Problem, edges: Sequence[Edge], within_ms: float, beside_ms: float
) -> tuple[float, float] | None:
    """Price and latency of one or two slices at the cheapest sizes within the limit; None where there are none.

    The price is with that of what runs the plan, whose other slices take ``beside_ms``.
    """
    if not all(problem.allows(edge) for edge in edges):
        return None
    usd, ms, most = np.zeros(1), np.zeros(1), problem.question.policy.most_reason_sizes
    for edge in edges:
        sizes = problem.sizes(edge)
        some = np.unique(np.linspace(0, len(sizes.cost_usd) - 1, most).astype(int))
        usd = np.add.outer(usd, sizes.cost_usd[some]).ravel()
        ms = np.add.outer(ms, sizes.latency_ms[some]).ravel()
    in_time = ms <= within_ms
    if not in_time.any():
        return None
    usd = usd + _orchestration_usd(problem, beside_ms + ms, edges)
    best = int(np.argmin(np.where(in_time, usd, np.inf)))
    return float(usd[best]), float(ms[best])
