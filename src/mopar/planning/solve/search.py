"""The cheapest chain of slices and sizes within limits: label setting with bounds (``label_search``), or on a grid.

Where the number of functions is limited, each number is searched separately: with a fixed number the bounds are tight
even for models of identical layers. Few labels survive, and the result is exact; where they would not, latencies are
counted in cells of 0.1 ms (``grid``), and the result is exact for those.
"""

import functools
from dataclasses import replace

import numpy as np

from mopar.planning.numbers import Floats
from mopar.planning.policy import DEFAULT, SolvePolicy
from mopar.planning.solve.chains import Chain, Chains
from mopar.planning.solve.grid import GridSize, best_chain, grid_sizes
from mopar.planning.solve.label_search import LabelSearch
from mopar.planning.solve.paths import Bracket, Edge, Path, bracket, cost_to_go
from mopar.planning.solve.weighed import Best, Objective, Weighed


def solve(chains: Chains, objective: Objective, policy: SolvePolicy = DEFAULT.solve) -> Chain:
    """The best chain. A chain within all limits must exist (``space.feasibility`` says whether)."""
    most = chains.most_functions
    if most is not None and most >= chains.end * max(chains.functions):
        most = None
    if most is not None and most > policy.most_counted:
        # A plan rarely has so many functions: the solution without the limit usually keeps it.
        free = _ChainSearch(chains, objective, None, policy).answer()
        if free.functions <= most:
            return free
    return _ChainSearch(chains, objective, most, policy).answer()


class _ChainSearch:
    """One objective over some chains, with at most ``most`` functions (None: any number)."""

    def __init__(self, chains: Chains, objective: Objective, most: int | None, policy: SolvePolicy) -> None:
        self._policy, self._most = policy, most
        self._weighed = Weighed.of(chains, objective)
        self._each = chains.functions
        self._slo_ms = self._weighed.slo_ms
        self._counts = [None] if most is None else list(range(1, most + 1))
        self._cheapest, self._fastest = (
            cost_to_go(weights, most, chains.functions) for weights in (self._weighed.weight, self._weighed.latency)
        )

    def answer(self) -> Chain:
        best = Best()
        searches = []
        # Plans of many functions first: they are often the best, and a known good plan tightens the bounds of the
        # others.
        for count in reversed(self._counts):
            cheapest = self._cheapest if count is None else self._cheapest.of(count)
            fastest = self._fastest if count is None else self._fastest.of(count)
            if np.isfinite(fastest.least) and fastest.least <= self._slo_ms:
                found = bracket(cheapest, fastest, self._slo_ms, self._weighed.priced, best.weight, self._policy)
                searches.append(LabelSearch(self._weighed, cheapest, fastest, found, self._policy))
                self._offer_path(best, found)
        searches.sort(key=lambda search: search.found.least)
        for search in searches:
            if search.found.price > 0 and search.found.least < best.weight:
                self._offer_sized(best, search.found.path)
        exact = all(search.improve(best) for search in searches)
        grid_ms = 0.0 if exact else self._on_grid(best, searches[0].found)
        assert best.path, "no chain keeps the limits"
        return self._weighed.chain(best, grid_ms)

    def _on_grid(self, best: Best, found: Bracket) -> float:
        """Offer ``best`` the best plan with latencies in cells of the grid; return the length of a cell in ms."""
        limited = np.isfinite(self._slo_ms)
        grid_ms = self._grid_ms() if limited else 0.0
        slices = self._useful(best, found, grid_ms)
        cells = int(self._slo_ms / grid_ms) if limited else 0
        path = best_chain(self._weighed.end, slices, cells, self._most, self._each)
        if path is not None:
            best.offer(*path)
        return grid_ms

    def _grid_ms(self) -> float:
        return max(self._policy.grid_ms, self._slo_ms / self._policy.most_grid_cells)

    def _useful(self, best: Best, found: Bracket, grid_ms: float) -> dict[Edge, tuple[GridSize, ...]]:
        """Slices and their sizes that, by the bounds, can be part of a better plan than the best one known."""
        weighed = self._weighed
        early, late = _reached(weighed.latency), cost_to_go(weighed.latency, None, self._each).after(0)
        around = self._around(weighed.weight)
        priced = self._around(found.to_go.weight) - (found.price * self._slo_ms if found.price > 0 else 0.0)
        useful = around + weighed.weight < best.weight
        useful &= priced + found.to_go.weight < best.weight
        useful &= early[:, None] + weighed.latency + late <= self._slo_ms
        slices = {}
        for edge in zip(*(places.tolist() for places in np.nonzero(useful)), strict=True):
            weight, latency = weighed.weights(edge), weighed.sizes(edge).latency_ms
            least = np.maximum(around[edge] + weight, priced[edge] + weight + found.price * latency)
            kept = np.flatnonzero(least < best.weight)
            some = grid_sizes(weight[kept], latency[kept], grid_ms)
            slices[edge] = tuple(replace(size, pick=int(kept[size.pick])) for size in some)
        return slices

    def _around(self, weight: Floats) -> Floats:
        """For each slice, the least weight of the rest of a chain through it, within the allowed functions."""
        each, most = self._each, self._most
        backwards = np.ascontiguousarray(weight[:, ::-1, ::-1].swapaxes(1, 2))
        before, after = cost_to_go(backwards, most, each).rows[:, ::-1], cost_to_go(weight, most, each).rows
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

    def _offer_path(self, best: Best, found: Bracket) -> None:
        """Offer plans on the best path known: all functions at their fastest, and at sizes by the price of latency."""
        weighed, path = self._weighed, found.path
        fastest = [len(weighed.sizes(edge).latency_ms) - 1 for edge in path]
        self._offer(best, path, fastest)
        priced = [int(np.argmin(weighed.weights(edge) + found.price * weighed.sizes(edge).latency_ms)) for edge in path]
        if sum(weighed.sizes(edge).latency_ms[pick] for edge, pick in zip(path, priced, strict=True)) <= self._slo_ms:
            self._offer(best, path, priced)

    def _offer_sized(self, best: Best, path: Path) -> None:
        """Offer the best sizes for the slices of one path, on the grid: a good plan known early shortens the search."""
        grid_ms, weighed = self._grid_ms(), self._weighed
        slices = {
            (0, number, number + 1): grid_sizes(weighed.weights(edge), weighed.sizes(edge).latency_ms, grid_ms)
            for number, edge in enumerate(path)
        }
        found = best_chain(len(path), slices, int(self._slo_ms / grid_ms), None)
        if found is not None:
            best.offer(found[0], [(edge, pick) for edge, (_, pick) in zip(path, found[1], strict=True)])

    def _offer(self, best: Best, path: Path, picks: list[int]) -> None:
        sized = list(zip(path, picks, strict=True))
        best.offer(sum(float(self._weighed.weights(edge)[pick]) for edge, pick in sized), sized)


def _reached(weight: Floats) -> Floats:
    """Least weight from the first position to each."""
    backwards = np.ascontiguousarray(weight.min(axis=0)[::-1, ::-1].T)
    return cost_to_go(backwards, None).after(0)[::-1]
