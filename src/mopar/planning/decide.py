"""From a question to a decision: objectives, the SLO, the unsplit model beside it, and the reason in one line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mopar.planning.evaluate import evaluate
from mopar.planning.feasibility import least_latency_ms, require_slo
from mopar.planning.paths import to_go
from mopar.planning.problem import Problem, make_problem
from mopar.planning.search import GRID_MS, Chosen, Objective, solve
from mopar.planning.shape import PlanShape, Slice, chain_shape
from mopar.planning.sizes import Sizing
from mopar.types import InfeasibleError, PlatformLimits, Predicted

_HAIR = 1e-9
_TIE = 1e-7


@dataclass(frozen=True, slots=True)
class Decider:
    """What all questions of one call of ``plan`` share: prices, limits, and what is minimised.

    ``budget_usd`` is the most that a request may cost where latency is minimised, ``max_parts`` the most functions
    that compute a slice side by side.
    """

    sizing: Sizing
    limits: PlatformLimits
    max_functions: int | None
    objective: str
    budget_usd: float | None = None
    max_parts: int | None = None

    def problem(self, positions: Sequence[int], *, fixed: bool = False, in_parts: bool = False) -> Problem:
        """The question of cutting at some (``fixed``: all) of ``positions``; ``in_parts``, side by side too."""
        return make_problem(
            self.sizing,
            self.limits,
            positions,
            max_functions=self.max_functions,
            fixed=fixed,
            in_parts=in_parts,
            max_parts=self.max_parts,
        )

    def whole(self) -> Problem:
        """The unsplit model, limits or not."""
        positions = [0, len(self.sizing.profile.layers)]
        return make_problem(self.sizing, self.limits, positions, max_functions=None, limited=False)

    def choose(self, problem: Problem, slo_ms: float | None) -> Chosen:
        """The best chain for the objective. Raises InfeasibleError where limits or SLO forbid all."""
        least_ms = least_latency_ms(problem)
        if slo_ms is not None:
            require_slo(least_ms, slo_ms)
        if self.budget_usd is not None:
            return _fastest_within(problem, least_ms, slo_ms, self.budget_usd)
        if self.objective == "latency":
            # Of the fastest plans, which differ by rounding at most, the cheapest.
            return solve(problem, Objective(slo_ms=least_ms))
        if self.objective == "balanced":
            return _knee(problem, least_ms, slo_ms)
        return solve(problem, _cheapest(problem, slo_ms))

    def choose_unsplit(self, slo_ms: float | None) -> Chosen:
        """The best size of the unsplit model, within no budget; its fastest where none keeps the SLO."""
        problem = self.whole()
        least_ms = least_latency_ms(problem)
        missed = slo_ms is not None and least_ms > slo_ms
        return replace(self, budget_usd=None).choose(problem, least_ms if missed else slo_ms)

    def shape(self, problem: Problem, chosen: Chosen) -> PlanShape:
        """The chosen chain as functions, graphs and calls."""
        at = problem.table.positions
        slices = [
            Slice(at[start], at[stop], size, problem.steps_of(start, stop, size.parts))
            for start, stop, size in chosen.slices
        ]
        return chain_shape(self.sizing.profile, slices)

    def predict(self, shape: PlanShape) -> Predicted:
        """What a shape is expected to take."""
        return evaluate(self.sizing.profile, self.sizing.book, self.limits, shape)

    def reason(self, problem: Problem, chosen: Chosen, unsplit: Chosen, slo_ms: float | None) -> str:
        """Why the search decided so, in one line."""
        if chosen.functions > 1:
            held = f"{_held_mib(chosen)} MiB in all against {_held_mib(unsplit)}"
            text = f"{_counted(chosen)}: {_compared(chosen, unsplit)} of unsplit, {held}{self._unsplit_note(slo_ms)}"
        else:
            text = self._why_unsplit(problem, chosen, slo_ms)
        return text + (f"; latencies counted to {chosen.grid_ms:.2g} ms" if chosen.grid_ms else "")

    def _unsplit_note(self, slo_ms: float | None) -> str:
        positions = [0, len(self.sizing.profile.layers)]
        try:
            least_ms = least_latency_ms(self.problem(positions))
            if slo_ms is not None:
                require_slo(least_ms, slo_ms)
        except InfeasibleError as error:
            return f", which is not possible ({error})"
        return ""

    def _why_unsplit(self, problem: Problem, chosen: Chosen, slo_ms: float | None) -> str:
        if problem.end == 1:
            return "the model has no cut position"
        if self.max_functions == 1:
            return "one function is all that is allowed"
        whole = np.zeros_like(problem.allowed)
        whole[0, problem.end] = True
        try:
            split = self.choose(problem.only(~whole), slo_ms)
        except InfeasibleError as error:
            return f"no split is possible ({error})"
        return f"the best split has {_counted(split)}: {_compared(split, chosen)} of unsplit"


def _cheapest(problem: Problem, slo_ms: float | None) -> Objective:
    """The least cost, and of plans that cost the same up to a ten-millionth, the faster."""
    least_usd, least_ms = to_go(problem.costs_usd, None).least, to_go(problem.latencies_ms, None).least
    priced = least_usd > 0 and least_ms > 0
    return Objective(latency=_TIE * least_usd / least_ms if priced else 1.0, slo_ms=slo_ms)


def _fastest_within(problem: Problem, least_ms: float, slo_ms: float | None, budget_usd: float) -> Chosen:
    """The fastest plan that costs no more than the budget, to 0.1 ms: by halving the latency that is allowed."""
    best = solve(problem, _cheapest(problem, slo_ms))
    most_usd = budget_usd * (1 + _HAIR)
    if best.cost_usd > most_usd:
        raise InfeasibleError(
            f"budget_usd {budget_usd * 1e6:g}: the cheapest plan is expected to cost {best.cost_usd * 1e6:g}",
            limit="budget_usd",
            value=budget_usd * 1e6,
            nearest=best.cost_usd * 1e6,
        )
    low_ms = least_ms
    fast = solve(problem, Objective(slo_ms=least_ms))
    if fast.cost_usd <= most_usd:
        return fast
    while best.latency_ms - low_ms > GRID_MS:
        middle_ms = (low_ms + best.latency_ms) / 2
        found = solve(problem, _cheapest(problem, middle_ms))
        if found.cost_usd <= most_usd:
            best = found
        else:
            low_ms = middle_ms
    return best


def _knee(problem: Problem, least_ms: float, slo_ms: float | None) -> Chosen:
    """The point of the front of cost and latency that lies farthest below the line through the front's ends.

    That point is the least of a weighted sum, with weights that make both ends equal, so no front is needed.
    """
    cheap = solve(problem, _cheapest(problem, slo_ms))
    fast = solve(problem, Objective(slo_ms=least_ms))
    spread_usd, spread_ms = fast.cost_usd - cheap.cost_usd, cheap.latency_ms - fast.latency_ms
    if spread_usd <= _HAIR * fast.cost_usd:
        return fast
    if spread_ms <= _HAIR * cheap.latency_ms:
        return cheap
    return solve(problem, Objective(cost=1 / spread_usd, latency=1 / spread_ms, slo_ms=slo_ms))


def _counted(chosen: Chosen) -> str:
    """How many functions, and of how many slices where these are fewer."""
    if chosen.functions == len(chosen.slices):
        return f"{chosen.functions} functions"
    several = "slice" if len(chosen.slices) == 1 else "slices"
    return f"{chosen.functions} functions for {len(chosen.slices)} {several}"


def _held_mib(chosen: Chosen) -> int:
    """Memory of all functions together."""
    return sum(size.memory_mib * size.parts for _, _, size in chosen.slices)


def _compared(chosen: Chosen, unsplit: Chosen) -> str:
    latency = chosen.latency_ms / unsplit.latency_ms if unsplit.latency_ms > 0 else 1.0
    if unsplit.cost_usd <= 0:
        return f"{latency:.2f}x the latency"
    return f"{chosen.cost_usd / unsplit.cost_usd:.2f}x the cost and {latency:.2f}x the latency"
