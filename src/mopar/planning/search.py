"""The cheapest chain of slices and sizes within limits: label setting with bounds, exact.

A label is a way to reach a position: weight, latency, functions used. A label is dropped when another one at the
same position is at least as good in all three (dominance), or when even the best way on from it cannot beat the best
plan known (bounds of ``paths``). The gap between bound and optimum is small, so few labels survive; where they would
not, the search settles for a stated gap.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mopar.planning.arithmetic import Floats
from mopar.planning.paths import Bracket, ToGo, bracket
from mopar.planning.problem import Mask, Problem
from mopar.planning.sizes import Sizes

# A plan must beat the best one by this share to replace it; each following value is tried
# when the one before needed more than _MOST_LABELS labels.
_GAPS = (1e-9, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_MOST_LABELS = 100_000
# Latency is a sum of floats: a limit is kept when it is kept up to this share.
_HAIR = 1e-9


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised: ``cost x cost_usd + latency x latency_ms``, at most ``slo_ms`` of latency."""

    cost: float = 1.0
    latency: float = 0.0
    slo_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A chain of slices with their sizes.

    Attributes:
        slices: (start, stop, memory in MiB), by position number.
        cost_usd, latency_ms: of a request.
        gap: share of the objective by which a better plan may exist; 0 where it is the optimum.
    """

    slices: tuple[tuple[int, int, int], ...]
    cost_usd: float
    latency_ms: float
    gap: float


@dataclass(frozen=True, slots=True)
class _Label:
    weight: float
    cost_usd: float
    latency_ms: float
    used: int
    slices: "_Step | None"


@dataclass(frozen=True, slots=True)
class _Step:
    before: "_Step | None"
    start: int
    stop: int
    memory_mib: int


_Indices = npt.NDArray[np.intp]


def solve(problem: Problem, objective: Objective) -> Chosen:
    """The best chain. A chain within all limits must exist (``feasibility`` says whether)."""
    search = _Search(problem, objective)
    for number, gap in enumerate(_GAPS):
        best = search.run(gap, capped=number < len(_GAPS) - 1)
        if best is not None:
            return _chosen(best, gap if number else 0.0)
    raise AssertionError("the last gap is searched without a cap")


class _Search:
    def __init__(self, problem: Problem, objective: Objective) -> None:
        self._problem, self._objective = problem, objective
        self._slo_ms = np.inf if objective.slo_ms is None else objective.slo_ms * (1 + _HAIR)
        self._sizes: dict[tuple[int, int], Sizes] = {}
        with np.errstate(invalid="ignore"):
            weight = objective.cost * problem.cost_usd + objective.latency * problem.latency_ms
        self._weight = np.where(problem.allowed, weight, np.inf)
        most = problem.max_functions
        self._fastest = ToGo(problem.latency_ms, most)
        self._cheapest = ToGo(self._weight, most)
        self._bracket = bracket(self._weight, problem.latency_ms, self._slo_ms, most)
        self._best = min(self._first_plans(self._bracket), key=lambda label: label.weight)

    def _label(self, edges: list[tuple[int, int]], picks: list[int]) -> _Label:
        label = _Label(0.0, 0.0, 0.0, 0, None)
        for edge, pick in zip(edges, picks, strict=True):
            label = self._extend(label, edge, pick)
        return label

    def _first_plans(self, found: Bracket) -> list[_Label]:
        """Plans on the best path known, all functions as fast as can be, or sized by the latency's price."""
        edges = list(found.path)
        fastest = [len(self._sizes_of(edge).memory_mib) - 1 for edge in edges]
        plans = [self._label(edges, fastest)]
        priced = [int(np.argmin(self._weights(edge) + found.price * self._sizes_of(edge).latency_ms)) for edge in edges]
        plan = self._label(edges, priced)
        return [*plans, plan] if plan.latency_ms <= self._slo_ms else plans

    def _sizes_of(self, edge: tuple[int, int]) -> Sizes:
        if edge not in self._sizes:
            self._sizes[edge] = self._problem.sizing.sizes(self._problem.table, *edge)
        return self._sizes[edge]

    def _weights(self, edge: tuple[int, int]) -> Floats:
        sizes = self._sizes_of(edge)
        return self._objective.cost * sizes.cost_usd + self._objective.latency * sizes.latency_ms

    def _extend(self, label: _Label, edge: tuple[int, int], pick: int) -> _Label:
        sizes = self._sizes_of(edge)
        cost, latency = float(sizes.cost_usd[pick]), float(sizes.latency_ms[pick])
        return _Label(
            weight=label.weight + self._objective.cost * cost + self._objective.latency * latency,
            cost_usd=label.cost_usd + cost,
            latency_ms=label.latency_ms + latency,
            used=label.used + 1,
            slices=_Step(label.slices, *edge, round(float(sizes.memory_mib[pick]))),
        )

    def run(self, gap: float, *, capped: bool) -> _Label | None:
        """The best plan up to ``gap``; None where it takes too many labels."""
        problem = self._problem
        waiting: list[list[_Label]] = [[] for _ in range(problem.end + 1)]
        waiting[0] = [_Label(0.0, 0.0, 0.0, 0, None)]
        made = 0
        for position in range(problem.end):
            for label in _undominated(waiting[position], problem.max_functions is not None):
                for stop in self._promising(label, position, gap):
                    edge = (position, int(stop))
                    for pick in self._picks(label, edge, gap):
                        following = self._extend(label, edge, int(pick))
                        made += 1
                        if edge[1] != problem.end:
                            waiting[edge[1]].append(following)
                        elif following.weight < self._best.weight:
                            self._best = following
                if capped and made > _MOST_LABELS:
                    return None
            waiting[position] = []
        return self._best

    def _promising(self, label: _Label, position: int, gap: float) -> _Indices:
        """Positions to go to from a label: those from which the best plan can still be beaten, in time."""
        used = label.used + 1
        weight = label.weight + self._weight[position]
        latency = label.latency_ms + self._problem.latency_ms[position]
        return np.flatnonzero(self._beats(weight, latency, slice(None), used, gap))

    def _picks(self, label: _Label, edge: tuple[int, int], gap: float) -> _Indices:
        """Sizes to give a slice after a label, by the same test as ``_promising`` with the sizes' own figures."""
        weight = label.weight + self._weights(edge)
        latency = label.latency_ms + self._sizes_of(edge).latency_ms
        return np.flatnonzero(self._beats(weight, latency, edge[1], label.used + 1, gap))

    def _beats(
        self,
        weight: Floats,
        latency: Floats,
        stop: int | slice,
        used: int,
        gap: float,
    ) -> Mask:
        most = self._problem.max_functions
        if most is not None and used > most:
            return np.zeros(len(weight), dtype=bool)
        target = self._best.weight * (1 - gap)
        found = self._bracket
        in_time = latency + self._fastest.after(used)[stop] <= self._slo_ms
        cheap = weight + self._cheapest.after(used)[stop] < target
        if found.price == 0:
            return np.asarray(in_time & cheap)
        bound = weight + found.price * (latency - self._slo_ms) + found.togo.after(used)[stop]
        return np.asarray(in_time & cheap & (bound < target))


def _undominated(labels: list[_Label], counted: bool) -> list[_Label]:
    """Labels that no other one equals or beats in weight, latency and, where functions are limited, their number."""
    least_ms = [np.inf] * (1 + max((label.used for label in labels), default=0))
    kept: list[_Label] = []
    for label in sorted(labels, key=lambda label: (label.weight, label.latency_ms, label.used)):
        used = label.used if counted else 0
        if label.latency_ms < min(least_ms[: used + 1]):
            least_ms[used] = label.latency_ms
            kept.append(label)
    return kept


def _chosen(label: _Label, gap: float) -> Chosen:
    slices: list[tuple[int, int, int]] = []
    step = label.slices
    while step is not None:
        slices.append((step.start, step.stop, step.memory_mib))
        step = step.before
    return Chosen(tuple(reversed(slices)), label.cost_usd, label.latency_ms, gap)
