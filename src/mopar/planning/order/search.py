"""The best chain over all orders of the parallel branches.

The search runs over the lattice of boundaries (``lattice``), and finds the best chain of all that it looks at. Before
it, boundaries are dropped that no plan better than the best known one passes: what a plan through a boundary costs and
takes at least is known from the best ways to it and on from it. So a few likely boundaries are searched first: what
that finds leaves few others.
"""

from dataclasses import dataclass, replace

import numpy as np

from mopar.planning.choice import choose
from mopar.planning.numbers import TOLERANCE, Floats, Mask
from mopar.planning.order.boundaries import Branches, branches_of, most_searched
from mopar.planning.policy import BranchPolicy
from mopar.planning.solve.paths import bracket, cost_to_go
from mopar.planning.space.downsample import downsampled
from mopar.planning.space.feasibility import require_slo
from mopar.planning.space.problem import Problem, free_problem
from mopar.planning.space.question import Question
from mopar.planning.space.solution import Solution
from mopar.types import InfeasibleError

_LEAST = 1e-30


@dataclass(frozen=True, slots=True)
class BestOrder:
    """The best chain over all orders.

    Attributes:
        problem, solution: over positions of the model in ``order``, which is empty for the canonical one.
        note: on orders, for the plan's reason; empty where there is nothing to say.
        plain: the best chain of the canonical order; None where limits forbid all.
    """

    problem: Problem
    solution: Solution
    order: tuple[int, ...]
    note: str
    plain: Solution | None


def best_order(canonical: Problem, slo_ms: float | None) -> BestOrder:
    """The best chain for the question's objective.

    Args:
        canonical: where to cut the canonical order.
        slo_ms: most latency; None for any.

    Raises:
        InfeasibleError: limits or SLO forbid all plans of all orders.
    """
    question = canonical.question
    plain, error = _chosen(canonical, slo_ms)
    branches = branches_of(question, canonical.positions)
    unseen = ""
    if branches is not None:
        price = _price_of_latency(canonical, plain, slo_ms)
        found, missed, looked_at = _searched(question, branches, price, plain, slo_ms)
        unseen = _unseen(branches, looked_at)
        if found is not None:
            note = "; ".join(filter(None, (_gain(found[1], plain), unseen)))
            return _placed(question, *found, note, plain)
        if plain is None and slo_ms is not None:
            _require_slo_of_any_order(question, branches, slo_ms)
        error = _nearer(error, missed)
    if plain is None:
        assert error is not None, "a question without an answer has an error"
        raise error
    return BestOrder(canonical, plain, (), unseen, plain)


def _nearer(plain: InfeasibleError | None, other: InfeasibleError | None) -> InfeasibleError | None:
    """Of two refusals the one that less would lift; only the canonical order's knows slices side by side."""
    if plain is None or other is None:
        return plain or other
    if plain.limit != other.limit or plain.nearest is None:
        return plain
    return other if other.nearest is not None and other.nearest < plain.nearest else plain


def _require_slo_of_any_order(question: Question, branches: Branches, slo_ms: float) -> None:
    """Raise InfeasibleError where the limits allow some order but the SLO none; it names the fastest."""
    fastest = replace(question, objective="latency", budget_usd=None)
    found, _, _ = _searched(fastest, branches, 0.0, None, None)
    if found is not None:
        require_slo(found[1].latency_ms, slo_ms)


def likely(question: Question, branches: Branches, slo_ms: float | None) -> Branches:
    """The boundaries that plans within the SLO are likeliest to pass; all, where they are few enough."""
    if branches.lattice.canonical().all():
        return branches
    bounds = _Bounds(question, branches, 0.0)
    return branches.at(_first(bounds.score, bounds.worth(question, None, slo_ms), most_searched(question)))


Found = tuple[Branches, Solution]


def _searched(
    question: Question, branches: Branches, price: float, plain: Solution | None, slo_ms: float | None
) -> tuple[Found | None, InfeasibleError | None, int]:
    """A chain better than ``plain``, if there is one, over its boundaries; and how many were looked at."""
    if branches.lattice.canonical().all():
        return None, None, len(branches.lattice.holds)
    bounds, policy, searched = _Bounds(question, branches, price), question.policy.branches, most_searched(question)
    best, found, error = plain, None, None
    done: Mask = np.zeros(len(branches.lattice.holds), dtype=bool)
    at_once = searched is not None and searched <= policy.searched_first
    for most in (searched,) if at_once else (policy.searched_first, searched):
        worth = bounds.worth(question, best, slo_ms)
        if not (worth & ~done).any() or (best is not None and branches.at(worth).lattice.canonical().all()):
            return found, error, len(done)
        mask = _first(bounds.score, worth, most)
        some = branches.at(mask)
        chosen, error = _chosen(some.problem(question), slo_ms)
        if chosen is not None and (best is None or _beats(question, chosen, best)):
            best, found = chosen, (some, chosen)
        done = mask
    left = bounds.worth(question, best, slo_ms) & ~done
    return found, error, len(done) - int(left.sum())


class _Bounds:
    """What plans through each boundary cost and take at least.

    Args:
        question: its prices, limits and objective.
        branches: the boundaries.
        price: of a ms of latency. A plan in time costs no less than what it costs with a price on its latency, less the
            price of the limit, whatever the price; the best one is what the limit costs.
    """

    def __init__(self, question: Question, branches: Branches, price: float) -> None:
        parts, policy = [], question.policy.branches
        for start in range(0, len(branches.lattice.holds), policy.rows):
            chains = branches.problem(question, slice(start, start + policy.rows)).chains
            parts.append((chains.cost_usd[0], chains.latency_ms[0]))
        usd, latency_ms = (np.concatenate(column) for column in zip(*parts, strict=True))
        most = question.max_functions
        self._price = price
        self._usd, self._ms = _through(usd, most, policy), _through(latency_ms, None, policy)
        self._priced = self._usd
        if price > 0:
            self._priced = _through(usd + price * np.where(np.isfinite(latency_ms), latency_ms, 0.0), most, policy)
        self.score: Floats = self._priced
        """The less, the likelier a good plan passes the boundary."""
        least_usd, least_ms = float(self._usd.min()), float(self._ms.min())
        if question.objective != "cost" and np.isfinite(least_usd):  # else the limits forbid them all
            self.score = self._usd / max(least_usd, _LEAST) + self._ms / max(least_ms, _LEAST)

    def worth(self, question: Question, best: Solution | None, slo_ms: float | None) -> Mask:
        """Boundaries that a plan can pass that is better than the best one known; the first and the last always."""
        most_usd, most_ms = _most(question, best, slo_ms)
        found: Mask = (self._usd <= most_usd * (1 + TOLERANCE)) & (self._ms <= most_ms * (1 + TOLERANCE))
        if self._price > 0:
            found &= self._priced - self._price * most_ms * (1 + TOLERANCE) <= most_usd * (1 + TOLERANCE)
        found[[0, -1]] = True
        return found


def _price_of_latency(canonical: Problem, plain: Solution | None, slo_ms: float | None) -> float:
    """What a ms less of the limit costs in the canonical order; 0 where that is not known."""
    question, chains = canonical.question, canonical.chains
    if plain is None or slo_ms is None or question.objective != "cost":
        return 0.0
    most = None if question.max_functions is None else len(plain.slices)
    weights = (cost_to_go(weight, most) for weight in (chains.cost_usd[0], chains.latency_ms[0]))
    cheapest, fastest = (weight if most is None else weight.of(most) for weight in weights)
    if not fastest.least <= slo_ms:
        return 0.0
    return bracket(cheapest, fastest, slo_ms, policy=question.policy.solve).price


def _first(score: Floats, mask: Mask, most: int | None) -> Mask:
    """The boundaries of the mask, or so many of them of the least score."""
    if most is None or mask.sum() <= most:
        return mask
    found: Mask = np.zeros(len(mask), dtype=bool)
    found[np.argsort(np.where(mask, score, np.inf), kind="stable")[:most]] = True
    found[[0, -1]] = True
    return found


def _through(weight: Floats, functions: int | None, policy: BranchPolicy) -> Floats:
    """The least weight of a path through each boundary, of at most so many functions (any, where there are many)."""
    backwards = np.ascontiguousarray(weight[::-1, ::-1].T)
    if functions is None or functions > policy.most_counted:
        free: Floats = cost_to_go(backwards, None).rows[0, ::-1] + cost_to_go(weight, None).rows[0]
        return free
    reached = cost_to_go(backwards, functions).rows[:, ::-1]
    onwards = np.minimum.accumulate(cost_to_go(weight, functions).rows, axis=0)
    least: Floats = np.min(reached + onwards[::-1], axis=0)
    return least


def _chosen(problem: Problem, slo_ms: float | None) -> tuple[Solution | None, InfeasibleError | None]:
    try:
        return choose(problem, slo_ms), None
    except InfeasibleError as error:
        return None, error


def _most(question: Question, best: Solution | None, slo_ms: float | None) -> tuple[float, float]:
    """Cost and latency that no plan better than the best one known exceeds."""
    most_usd = np.inf if question.budget_usd is None else question.budget_usd
    most_ms = np.inf if slo_ms is None else slo_ms
    if best is not None and question.objective == "cost":
        most_usd = best.cost_usd
    if best is not None and question.objective == "latency":
        most_ms = best.latency_ms
    return most_usd, most_ms


def _beats(question: Question, chosen: Solution, best: Solution) -> bool:
    """Whether the chain is better than the best one known by enough to change the order for it."""
    policy = question.policy.branches
    usd, latency_ms = chosen.cost_usd - best.cost_usd, chosen.latency_ms - best.latency_ms
    cheaper, faster = usd < -policy.worth * best.cost_usd, latency_ms < -policy.worth * best.latency_ms
    if question.objective == "cost":
        return cheaper
    if question.objective == "latency":
        return faster or (cheaper and latency_ms <= TOLERANCE * best.latency_ms)
    # Of two knees, the one that gains more, in shares, than it gives away.
    gains = (-part / whole for part, whole in ((usd, best.cost_usd), (latency_ms, best.latency_ms)) if whole > 0)
    return sum(gains) > policy.worth_balanced


def _placed(question: Question, some: Branches, chosen: Solution, note: str, plain: Solution | None) -> BestOrder:
    """A chain of boundaries as one of positions in its order."""
    moved, order = some.placed(question, chosen)
    places = some.lattice.positions
    cuts = {places[stop] for _, stop, _ in chosen.slices}
    positions = sorted({0, *downsampled(moved, moved.cut_positions), *cuts})
    problem = free_problem(moved, positions, in_parts=False)
    number = {position: index for index, position in enumerate(positions)}
    slices = tuple((number[places[start]], number[places[stop]], size) for start, stop, size in chosen.slices)
    return BestOrder(problem, replace(chosen, slices=slices), order, note, plain)


def _gain(chosen: Solution, plain: Solution | None) -> str:
    """What another order changes."""
    if plain is None:
        return "only possible with parallel branches in another order"
    usd = chosen.cost_usd / plain.cost_usd - 1 if plain.cost_usd > 0 else 0.0
    return f"parallel branches in another order: {usd:+.1%} cost, {chosen.latency_ms - plain.latency_ms:+.2f} ms"


def _unseen(branches: Branches, looked_at: int) -> str:
    """Which orders were left out; empty where none were."""
    if not branches.complete:
        return "not every order of the branches of a large parallel section looked at"
    if looked_at < branches.of:
        return f"{looked_at} of {branches.of} places to cut, in any order of the branches, looked at"
    return ""
