"""The cheapest chain of slices and sizes within limits: label setting with bounds.

A label is a way to reach a position. It is dropped when another one at the same position is at least as cheap and as
fast (dominance), or when even the best way on from it cannot beat the best plan known (the bounds of ``paths``).
Where the number of functions is limited, each number is a question of its own: with the number fixed the bounds are
tight even for models whose layers are all alike. Few labels survive, and the answer is exact; where they would not,
latencies are counted in steps of 0.1 ms (``grid``), and the answer is exact for those.
"""

import functools
from dataclasses import dataclass, replace

import numpy as np

from mopar.planning.arithmetic import Floats
from mopar.planning.grid import Chain, Option, best_chain, options_of
from mopar.planning.labels import Labels, Trail
from mopar.planning.menu import menu_of
from mopar.planning.paths import Bracket, Edge, Path, ToGo, bracket, to_go
from mopar.planning.problem import Mask, Problem
from mopar.planning.sizes import Size, Sizes

GRID_MS = 0.1
"""Latencies are told apart by so much where counting them exactly takes too long."""
_MOST_STEPS = 8192
"""A limit on latency that is longer than so many steps of the grid has longer steps."""
_MOST_LABELS = 100_000
# A plan must beat the best one by this share to replace it.
_SAME = 1e-11
# Up to this many functions at most, each number is searched by itself.
_MOST_COUNTED = 64
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
        slices: (start, stop, size), by position number; in as many parts as the size says.
        cost_usd, latency_ms: of a request.
        grid_ms: latencies of slices were rounded up to multiples of it; 0 where they were not.
    """

    slices: tuple[tuple[int, int, Size], ...]
    cost_usd: float
    latency_ms: float
    grid_ms: float

    @property
    def functions(self) -> int:
        """How many."""
        return sum(size.parts for _, _, size in self.slices)


def solve(problem: Problem, objective: Objective) -> Chosen:
    """The best chain. A chain within all limits must exist (``feasibility`` says whether)."""
    most = problem.max_functions
    if most is not None and most >= problem.end * max(problem.each):
        most = None
    if most is not None and most > _MOST_COUNTED:
        # So many functions are rarely worth having: without the limit, the answer usually keeps it.
        free = _Question(problem, objective, None).answer()
        if free.functions <= most:
            return free
    return _Question(problem, objective, most).answer()


@dataclass(slots=True)
class _Best:
    """The best plan known."""

    weight: float = np.inf
    chain: tuple[tuple[Edge, int], ...] = ()

    def offer(self, weight: float, chain: Chain) -> None:
        if weight < self.weight:
            self.weight, self.chain = weight, tuple(chain)


class _Question:
    """One problem and objective, with at most ``most`` functions (None: any number)."""

    def __init__(self, problem: Problem, objective: Objective, most: int | None) -> None:
        self.problem, self.objective = problem, objective
        self.slo_ms = np.inf if objective.slo_ms is None else objective.slo_ms * (1 + _HAIR)
        cost, self.latency = problem.costs_usd, problem.latencies_ms
        allowed = np.isfinite(self.latency)
        weight = objective.cost * np.where(allowed, cost, 0.0) + objective.latency * np.where(
            allowed, self.latency, 0.0
        )
        self.priced = menu_of(problem, objective.cost, objective.latency)
        # Cost and latency at their least are two sizes, as a rule; the least of what is minimised is one.
        self.weight = np.where(allowed, weight, np.inf) if self.priced is None else self.priced.least(0.0)
        self.most = most
        self.counts = [None] if most is None else list(range(1, most + 1))
        self.cheapest, self.fastest = (to_go(weights, most, problem.each) for weights in (self.weight, self.latency))
        self._sizes: dict[Edge, Sizes] = {}

    def answer(self) -> Chosen:
        best = _Best()
        searches = []
        # Plans of many functions first: they are often the best, and what is known to be worse is bounded no further.
        for count in reversed(self.counts):
            cheapest = self.cheapest if count is None else self.cheapest.of(count)
            fastest = self.fastest if count is None else self.fastest.of(count)
            if np.isfinite(fastest.least) and fastest.least <= self.slo_ms:
                found = bracket(cheapest, fastest, self.slo_ms, self.priced, best.weight)
                searches.append(_Search(self, cheapest, fastest, found))
                self._offer_path(best, found)
        searches.sort(key=lambda search: search.found.least)
        for search in searches:
            if search.found.price > 0 and search.found.least < best.weight:
                self._offer_sized(best, search.found.path)
        exact = all(search.improve(best) for search in searches)
        grid_ms = 0.0 if exact else self._on_grid(best, searches[0].found)
        assert best.chain, "no chain keeps the limits"
        return self._chosen(best, grid_ms)

    def _on_grid(self, best: _Best, found: Bracket) -> float:
        """Offer ``best`` the best plan with latencies in steps; the step in ms."""
        limited = np.isfinite(self.slo_ms)
        grid_ms = max(GRID_MS, self.slo_ms / _MOST_STEPS) if limited else 0.0
        options = self._options(best, found, grid_ms)
        steps = int(self.slo_ms / grid_ms) if limited else 0
        chain = best_chain(self.problem.end, options, steps, self.most, self.problem.each)
        if chain is not None:
            best.offer(*chain)
        return grid_ms

    def _options(self, best: _Best, found: Bracket, grid_ms: float) -> dict[Edge, tuple[Option, ...]]:
        """Slices and their sizes that can be part of a better plan than the best one known, by the bounds."""
        early, late = _reached(self.latency), to_go(self.latency, None, self.problem.each).after(0)
        around = self._around(self.weight)
        priced = self._around(found.togo.weight) - (found.price * self.slo_ms if found.price > 0 else 0.0)
        useful = around + self.weight < best.weight
        useful &= priced + found.togo.weight < best.weight
        useful &= early[:, None] + self.latency + late <= self.slo_ms
        options = {}
        for edge in zip(*(places.tolist() for places in np.nonzero(useful)), strict=True):
            weight, latency = self.weights(edge), self.sizes(edge).latency_ms
            least = np.maximum(around[edge] + weight, priced[edge] + weight + found.price * latency)
            kept = np.flatnonzero(least < best.weight)
            some = options_of(weight[kept], latency[kept], grid_ms)
            options[edge] = tuple(replace(option, pick=int(kept[option.pick])) for option in some)
        return options

    def _around(self, weight: Floats) -> Floats:
        """For each slice, the least weight of all else in a chain with it, of as many functions as are allowed."""
        each, most = self.problem.each, self.most
        backwards = np.ascontiguousarray(weight[:, ::-1, ::-1].swapaxes(1, 2))
        before, after = to_go(backwards, most, each).rows[:, ::-1], to_go(weight, most, each).rows
        if most is None:
            return np.broadcast_to(before[0][:, None] + after[0][None, :], weight.shape)
        after = np.minimum.accumulate(after, axis=0)
        none = np.full(weight.shape[1:], np.inf)
        return np.stack(
            [
                functools.reduce(
                    np.minimum,
                    (before[used][:, None] + after[most - some - used][None, :] for used in range(most - some + 1)),
                    none,
                )
                for some in each
            ]
        )

    def _chosen(self, best: _Best, grid_ms: float) -> Chosen:
        slices, cost_usd, latency_ms = [], 0.0, 0.0
        for edge, pick in best.chain:
            sizes, (way, start, stop) = self.sizes(edge), edge
            slices.append((start, stop, replace(sizes.at(pick), parts=self.problem.each[way])))
            cost_usd += float(sizes.cost_usd[pick])
            latency_ms += float(sizes.latency_ms[pick])
        return Chosen(tuple(slices), cost_usd, latency_ms, grid_ms)

    def _offer_path(self, best: _Best, found: Bracket) -> None:
        """Plans on the best path known: all functions as fast as can be, and sized by the latency's price."""
        fastest = [len(self.sizes(edge).memory_mib) - 1 for edge in found.path]
        self._offer(best, found.path, fastest)
        priced = [int(np.argmin(self.weights(edge) + found.price * self.sizes(edge).latency_ms)) for edge in found.path]
        if sum(self.sizes(edge).latency_ms[pick] for edge, pick in zip(found.path, priced, strict=True)) <= self.slo_ms:
            self._offer(best, found.path, priced)

    def _offer_sized(self, best: _Best, path: Path) -> None:
        """The best sizes of the slices of one path, with latencies in steps: a good plan known early ends searches."""
        grid_ms = max(GRID_MS, self.slo_ms / _MOST_STEPS)
        options = {
            (0, number, number + 1): options_of(self.weights(edge), self.sizes(edge).latency_ms, grid_ms)
            for number, edge in enumerate(path)
        }
        found = best_chain(len(path), options, int(self.slo_ms / grid_ms), None)
        if found is not None:
            best.offer(found[0], [(edge, pick) for edge, (_, pick) in zip(path, found[1], strict=True)])

    def _offer(self, best: _Best, path: Path, picks: list[int]) -> None:
        weight = sum(float(self.weights(edge)[pick]) for edge, pick in zip(path, picks, strict=True))
        best.offer(weight, list(zip(path, picks, strict=True)))

    def sizes(self, edge: Edge) -> Sizes:
        if edge not in self._sizes:
            self._sizes[edge] = self.problem.sizes_of(edge)
        return self._sizes[edge]

    def weights(self, edge: Edge) -> Floats:
        sizes = self.sizes(edge)
        return self.objective.cost * sizes.cost_usd + self.objective.latency * sizes.latency_ms


def _reached(weight: Floats) -> Floats:
    """Least weight from the first position to each."""
    backwards = np.ascontiguousarray(weight.min(axis=0)[::-1, ::-1].T)
    return to_go(backwards, None).after(0)[::-1]


@dataclass(slots=True)
class _Search:
    """The labels of one question with one number of functions, or any."""

    question: _Question
    cheapest: ToGo
    fastest: ToGo
    found: Bracket

    def improve(self, best: _Best) -> bool:
        """Offer ``best`` all plans that may beat it; False where there are too many labels to tell."""
        if self.found.least >= best.weight * (1 - _SAME):
            return True
        end, counted = self.question.problem.end, self.cheapest.functions is not None
        trail = Trail()
        start = np.zeros(1, dtype=np.int64)
        waiting: list[list[Labels]] = [[] for _ in range(end + 1)]
        waiting[0] = [Labels(np.zeros(1), np.zeros(1), start, start)]
        for position in range(end):
            if not waiting[position]:
                continue
            labels = Labels.joined(waiting[position]).undominated(counted=counted)
            waiting[position] = []
            self._extend(labels, position, waiting, trail, best)
            if len(trail) > _MOST_LABELS:
                return False
        return True

    def _extend(self, labels: Labels, position: int, waiting: list[list[Labels]], trail: Trail, best: _Best) -> None:
        """All extensions of a position's labels by one slice that can still lead to a better plan."""
        for used in np.unique(labels.used):
            some = labels.at(labels.used == used)
            for way, each in enumerate(self.question.problem.each):
                if self.cheapest.functions is None or used + each <= self.cheapest.functions:
                    self._extend_by(some, way, int(used) + each, position, waiting, trail, best)

    def _extend_by(
        self,
        labels: Labels,
        way: int,
        used: int,
        position: int,
        waiting: list[list[Labels]],
        trail: Trail,
        best: _Best,
    ) -> None:
        """Extensions of labels of one number of functions by slices of one way; ``used`` with the slice."""
        question, end = self.question, self.question.problem.end
        weight = labels.weight[:, None] + question.weight[way, position][None, :]
        latency = labels.latency_ms[:, None] + question.latency[way, position][None, :]
        target, found = best.weight * (1 - _SAME), self.found
        good = self._beats(weight, latency, used, target)
        if found.price > 0:
            both = labels.weight + found.price * (labels.latency_ms - question.slo_ms)
            good &= both[:, None] + (found.togo.weight[way, position] + found.togo.after(used))[None, :] < target
        for stop in np.flatnonzero(good.any(axis=0)).tolist():
            made = self._along(labels.at(good[:, stop]), (way, position, stop), used, trail, best)
            if made is None:
                continue
            if stop < end:
                waiting[stop].append(made)
            else:
                cheapest = int(np.argmin(made.weight))
                best.offer(float(made.weight[cheapest]), trail.chain(int(made.number[cheapest])))

    def _along(self, labels: Labels, edge: Edge, used: int, trail: Trail, best: _Best) -> Labels | None:
        """Labels of one number of functions, extended by one slice at each of its sizes."""
        question, (way, _, stop) = self.question, edge
        weight = labels.weight[:, None] + question.weights(edge)[None, :]
        latency = labels.latency_ms[:, None] + question.sizes(edge).latency_ms[None, :]
        rows, picks = np.nonzero(self._beats(weight, latency, used, best.weight * (1 - _SAME), stop))
        if not len(rows):
            return None
        numbers = trail.add(labels.number[rows], way, stop, picks)
        return Labels(weight[rows, picks], latency[rows, picks], np.full(len(rows), used), numbers)

    def _beats(self, weight: Floats, latency: Floats, used: int, target: float, stop: int | None = None) -> Mask:
        """Whether chains of that weight and latency can lead to a plan below ``target``, in time.

        The chains end at ``stop``, or where it is None, one column at each position.
        """
        at = slice(None) if stop is None else stop
        in_time = latency + self.fastest.after(used)[at] <= self.question.slo_ms
        good = in_time & (weight + self.cheapest.after(used)[at] < target)
        if self.found.price > 0:
            lateness = np.where(np.isfinite(latency), latency, 0.0) - self.question.slo_ms
            good &= weight + self.found.price * lateness + self.found.togo.after(used)[at] < target
        return np.asarray(good)
