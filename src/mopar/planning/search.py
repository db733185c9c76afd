"""The cheapest chain of slices and sizes within limits: label setting with bounds, exact.

A label is a way to reach a position. It is dropped when another one at the same position is at least as cheap and as
fast (dominance), or when even the best way on from it cannot beat the best plan known (the bounds of ``paths``).
Where the number of functions is limited, each number is a question of its own: with the number fixed the bounds are
tight even for models whose layers are all alike. Few labels survive; where they would not, the search settles for a
stated gap.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mopar.planning.arithmetic import Floats
from mopar.planning.labels import Label, Step, undominated
from mopar.planning.paths import Bracket, Path, ToGo, bracket, to_go
from mopar.planning.problem import Mask, Problem
from mopar.planning.sizes import Size, Sizes

# A plan must beat the best one by this share to replace it; each following value is tried
# when the one before needed more than _MOST_LABELS labels.
_GAPS = (1e-11, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_MOST_LABELS = 20_000
# Up to this many functions at most, each number is searched by itself.
_MOST_COUNTED = 64
# Latency is a sum of floats: a limit is kept when it is kept up to this share.
_HAIR = 1e-9

Edge = tuple[int, int]
Indices = npt.NDArray[np.intp]


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
        slices: (start, stop, size), by position number.
        cost_usd, latency_ms: of a request.
        gap: share of the objective by which a better plan may exist; 0 where it is the optimum.
    """

    slices: tuple[tuple[int, int, Size], ...]
    cost_usd: float
    latency_ms: float
    gap: float


def solve(problem: Problem, objective: Objective) -> Chosen:
    """The best chain. A chain within all limits must exist (``feasibility`` says whether)."""
    most = problem.max_functions
    if most is not None and most >= problem.end:
        most = None
    if most is not None and most > _MOST_COUNTED:
        # So many functions are rarely worth having: without the limit, the answer usually keeps it.
        free = _Question(problem, objective, None).answer()
        if len(free.slices) <= most:
            return free
    return _Question(problem, objective, most).answer()


@dataclass(slots=True)
class _Best:
    """The best plan known, and the gap that was settled for."""

    label: Label | None = None
    gap: float = 0.0

    @property
    def weight(self) -> float:
        return np.inf if self.label is None else self.label.weight

    def offer(self, label: Label) -> None:
        if label.weight < self.weight:
            self.label = label


class _Question:
    """One problem and objective, with at most ``most`` functions (None: any number)."""

    def __init__(self, problem: Problem, objective: Objective, most: int | None) -> None:
        self.problem, self.objective = problem, objective
        self.slo_ms = np.inf if objective.slo_ms is None else objective.slo_ms * (1 + _HAIR)
        finite = np.where(problem.allowed, problem.latency_ms, 0.0)
        cost = np.where(problem.allowed, problem.cost_usd, 0.0)
        self.weight = np.where(problem.allowed, objective.cost * cost + objective.latency * finite, np.inf)
        self.counts = [None] if most is None else list(range(1, most + 1))
        self.cheapest, self.fastest = to_go(self.weight, most), to_go(problem.latency_ms, most)
        self._sizes: dict[Edge, Sizes] = {}

    def answer(self) -> Chosen:
        best = _Best()
        searches = []
        for count in self.counts:
            cheapest = self.cheapest if count is None else self.cheapest.of(count)
            fastest = self.fastest if count is None else self.fastest.of(count)
            if fastest.least <= self.slo_ms:
                found = bracket(cheapest, fastest, self.slo_ms)
                searches.append(_Search(self, cheapest, fastest, found))
                self._offer_path(best, found)
        for search in sorted(searches, key=lambda search: search.found.least):
            search.improve(best)
        assert best.label is not None, "no chain keeps the limits"
        return Chosen(best.label.slices(), best.label.cost_usd, best.label.latency_ms, best.gap)

    def _offer_path(self, best: _Best, found: Bracket) -> None:
        """Plans on the best path known: all functions as fast as can be, and sized by the latency's price."""
        fastest = [len(self.sizes(edge).memory_mib) - 1 for edge in found.path]
        best.offer(self._along(found.path, fastest))
        priced = [int(np.argmin(self.weights(edge) + found.price * self.sizes(edge).latency_ms)) for edge in found.path]
        plan = self._along(found.path, priced)
        if plan.latency_ms <= self.slo_ms:
            best.offer(plan)

    def _along(self, path: Path, picks: list[int]) -> Label:
        label = Label()
        for edge, pick in zip(path, picks, strict=True):
            label = self.extend(label, edge, pick)
        return label

    def sizes(self, edge: Edge) -> Sizes:
        if edge not in self._sizes:
            self._sizes[edge] = self.problem.sizing.sizes(self.problem.table, *edge)
        return self._sizes[edge]

    def weights(self, edge: Edge) -> Floats:
        sizes = self.sizes(edge)
        return self.objective.cost * sizes.cost_usd + self.objective.latency * sizes.latency_ms

    def extend(self, label: Label, edge: Edge, pick: int) -> Label:
        sizes = self.sizes(edge)
        cost, latency = float(sizes.cost_usd[pick]), float(sizes.latency_ms[pick])
        return Label(
            weight=label.weight + self.objective.cost * cost + self.objective.latency * latency,
            cost_usd=label.cost_usd + cost,
            latency_ms=label.latency_ms + latency,
            used=label.used + 1,
            last=Step(label.last, *edge, sizes.at(pick)),
        )


@dataclass(slots=True)
class _Search:
    """The labels of one question with one number of functions, or any."""

    question: _Question
    cheapest: ToGo
    fastest: ToGo
    found: Bracket
    _made: int = field(default=0, init=False)

    def improve(self, best: _Best) -> None:
        """Offer ``best`` all plans that may beat it, by the smallest gap that takes few enough labels."""
        # A gap that one number of functions needed holds for the answer, so the others need no smaller one.
        for gap in (gap for gap in _GAPS if gap >= best.gap):
            settled = self.found.least >= best.weight * (1 - gap)
            if settled or self._run(best, gap, capped=gap != _GAPS[-1]):
                best.gap = gap if gap != _GAPS[0] else 0.0
                return

    def _run(self, best: _Best, gap: float, *, capped: bool) -> bool:
        """Search all labels; False where there are too many."""
        end, counted = self.question.problem.end, self.cheapest.functions is not None
        waiting: list[list[Label]] = [[] for _ in range(end + 1)]
        waiting[0] = [Label()]
        made = 0
        for position in range(end):
            for label in undominated(waiting[position], counted=counted):
                for following in self._following(label, position, best, gap):
                    made += 1
                    if following.last is not None and following.last.stop == end:
                        best.offer(following)
                    elif following.last is not None:
                        waiting[following.last.stop].append(following)
                if capped and made > _MOST_LABELS:
                    return False
            waiting[position] = []
        return True

    def _following(self, label: Label, position: int, best: _Best, gap: float) -> list[Label]:
        """A label's extensions by one slice that can still lead to a better plan."""
        question, used = self.question, label.used + 1
        if self.cheapest.functions is not None and used > self.cheapest.functions:
            return []
        target = best.weight * (1 - gap)
        latency = label.latency_ms + question.problem.latency_ms[position]
        stops = np.flatnonzero(self._beats(label.weight + question.weight[position], latency, used, target))
        following = []
        for stop in stops.tolist():
            edge = (position, stop)
            weight = label.weight + question.weights(edge)
            latency = label.latency_ms + question.sizes(edge).latency_ms
            picks = np.flatnonzero(self._beats(weight, latency, used, target, stop))
            following += [question.extend(label, edge, pick) for pick in picks.tolist()]
        return following

    def _beats(self, weight: Floats, latency: Floats, used: int, target: float, stop: int | None = None) -> Mask:
        """Whether chains of that weight and latency can lead to a plan below ``target``, in time.

        The chains end at ``stop``, or where it is None, one at each position.
        """
        at = slice(None) if stop is None else stop
        in_time = latency + self.fastest.after(used)[at] <= self.question.slo_ms
        good = in_time & (weight + self.cheapest.after(used)[at] < target)
        if self.found.price > 0:
            lateness = np.where(np.isfinite(latency), latency, 0.0) - self.question.slo_ms
            good &= weight + self.found.price * lateness + self.found.togo.after(used)[at] < target
        return np.asarray(good)
