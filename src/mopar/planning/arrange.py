"""The best chain over all orders of the parallel branches.

The search runs over the lattice of boundaries (``lattice``), and finds the best chain of all that it looks at. Before
it, boundaries are dropped that no plan better than the best known one passes: what a plan through a boundary costs and
takes at least is known from the best ways to it and on from it. So a few likely boundaries are searched first: what
that finds leaves few others.
"""

from dataclasses import dataclass, replace

import numpy as np

from mopar.planning.arithmetic import Floats
from mopar.planning.decide import Decider
from mopar.planning.feasibility import require_slo
from mopar.planning.lattice import Mask
from mopar.planning.orders import Branches, Effort, branches_of
from mopar.planning.paths import bracket, to_go
from mopar.planning.problem import Problem
from mopar.planning.search import Chosen
from mopar.planning.thin import thinned
from mopar.types import InfeasibleError

_FIRST = 120
"""So many boundaries are searched first."""
_WORTH = 1e-6
"""Another order than the canonical one saves at least this part of what is minimised."""
_WORTH_BALANCED = 1e-4
_ROWS = 512
_MOST_COUNTED = 16
_HAIR = 1e-9
_LEAST = 1e-30


@dataclass(frozen=True, slots=True)
class Arranged:
    """The best chain over all orders.

    Attributes:
        decider: whose profile stands in ``order``, which is empty for the canonical one.
        problem, chosen: over positions in that order.
        note: on orders, for the plan's reason; empty where there is nothing to say.
        plain: the best chain of the canonical order; None where limits forbid all.
    """

    decider: Decider
    problem: Problem
    chosen: Chosen
    order: tuple[int, ...]
    note: str
    plain: Chosen | None


def arranged(decider: Decider, canonical: Problem, slo_ms: float | None, effort: Effort) -> Arranged:
    """The best chain for the decider's objective.

    Args:
        decider: for the profile in canonical order.
        canonical: the question of where to cut that order.
        slo_ms: most latency; None for any.
        effort: how many boundaries to look at.

    Raises:
        InfeasibleError: limits or SLO forbid all plans of all orders.
    """
    plain, error = _chosen(decider, canonical, slo_ms)
    branches = branches_of(decider.sizing.profile, canonical.table.positions, effort)
    unseen = ""
    if branches is not None:
        price = _price_of_latency(decider, canonical, plain, slo_ms)
        found, missed, looked_at = _searched(decider, branches, price, plain, slo_ms, effort.most(decider.sizing))
        unseen = _unseen(branches, looked_at)
        if found is not None:
            note = "; ".join(filter(None, (_gain(found[1], plain), unseen)))
            return _placed(decider, *found, note, plain)
        if plain is None and slo_ms is not None:
            _require_slo_of_any_order(decider, branches, slo_ms, effort)
        error = _nearer(error, missed)
    if plain is None:
        assert error is not None, "a question without an answer has an error"
        raise error
    return Arranged(decider, canonical, plain, (), unseen, plain)


def _nearer(plain: InfeasibleError | None, other: InfeasibleError | None) -> InfeasibleError | None:
    """Of two refusals the one that less would lift; only the canonical order's knows slices side by side."""
    if plain is None or other is None:
        return plain or other
    if plain.limit != other.limit or plain.nearest is None:
        return plain
    return other if other.nearest is not None and other.nearest < plain.nearest else plain


def _require_slo_of_any_order(decider: Decider, branches: Branches, slo_ms: float, effort: Effort) -> None:
    """Raise InfeasibleError where the limits allow some order but the SLO none; it names the fastest."""
    fastest = replace(decider, objective="latency", budget_usd=None)
    found, _, _ = _searched(fastest, branches, 0.0, None, None, effort.most(decider.sizing))
    if found is not None:
        require_slo(found[1].latency_ms, slo_ms)


def likely(decider: Decider, branches: Branches, slo_ms: float | None, effort: Effort) -> Branches:
    """The boundaries that plans within the SLO are likeliest to pass; all, where they are few enough."""
    if branches.lattice.canonical().all():
        return branches
    ways = _Ways(decider, branches, 0.0)
    return branches.at(_first(ways.score, ways.worth(decider, None, slo_ms), effort.most(decider.sizing)))


Found = tuple[Branches, Chosen]


def _searched(
    decider: Decider,
    branches: Branches,
    price: float,
    plain: Chosen | None,
    slo_ms: float | None,
    searched: int | None,
) -> tuple[Found | None, InfeasibleError | None, int]:
    """A chain better than ``plain``, if there is one, over its boundaries; and how many were looked at."""
    if branches.lattice.canonical().all():
        return None, None, len(branches.lattice.holds)
    ways = _Ways(decider, branches, price)
    best, found, error = plain, None, None
    done: Mask = np.zeros(len(branches.lattice.holds), dtype=bool)
    for most in (searched,) if searched is not None and searched <= _FIRST else (_FIRST, searched):
        worth = ways.worth(decider, best, slo_ms)
        if not (worth & ~done).any() or (best is not None and branches.at(worth).lattice.canonical().all()):
            return found, error, len(done)
        mask = _first(ways.score, worth, most)
        some = branches.at(mask)
        chosen, error = _chosen(decider, some.problem(decider), slo_ms)
        if chosen is not None and (best is None or _beats(decider, chosen, best)):
            best, found = chosen, (some, chosen)
        done = mask
    left = ways.worth(decider, best, slo_ms) & ~done
    return found, error, len(done) - int(left.sum())


class _Ways:
    """What plans through each boundary cost and take at least.

    Args:
        decider: its prices, limits and objective.
        branches: the boundaries.
        price: of a ms of latency. A plan in time costs no less than what it costs with a price on its latency, less the
            price of the limit, whatever the price; the best one is what the limit costs.
    """

    def __init__(self, decider: Decider, branches: Branches, price: float) -> None:
        parts = []
        for start in range(0, len(branches.lattice.holds), _ROWS):  # some rows at a time, for the table's memory
            problem = branches.problem(decider, slice(start, start + _ROWS))
            parts.append((problem.cost_usd, problem.latency_ms))
        usd, latency_ms = (np.concatenate(column) for column in zip(*parts, strict=True))
        most = decider.max_functions
        self._price = price
        self._usd, self._ms = _through(usd, most), _through(latency_ms, None)
        self._priced = self._usd
        if price > 0:
            self._priced = _through(usd + price * np.where(np.isfinite(latency_ms), latency_ms, 0.0), most)
        self.score: Floats = self._priced
        """The less, the likelier a good plan passes the boundary."""
        least_usd, least_ms = float(self._usd.min()), float(self._ms.min())
        if decider.objective != "cost" and np.isfinite(least_usd):  # else the limits forbid them all
            self.score = self._usd / max(least_usd, _LEAST) + self._ms / max(least_ms, _LEAST)

    def worth(self, decider: Decider, best: Chosen | None, slo_ms: float | None) -> Mask:
        """Boundaries that a plan can pass that is better than the best one known; the first and the last always."""
        most_usd, most_ms = _bounds(decider, best, slo_ms)
        found: Mask = (self._usd <= most_usd * (1 + _HAIR)) & (self._ms <= most_ms * (1 + _HAIR))
        if self._price > 0:
            found &= self._priced - self._price * most_ms * (1 + _HAIR) <= most_usd * (1 + _HAIR)
        found[[0, -1]] = True
        return found


def _price_of_latency(decider: Decider, canonical: Problem, plain: Chosen | None, slo_ms: float | None) -> float:
    """What a ms less of the limit costs in the canonical order; 0 where that is not known."""
    if plain is None or slo_ms is None or decider.objective != "cost":
        return 0.0
    most = None if decider.max_functions is None else len(plain.slices)
    weights = (to_go(weight, most) for weight in (canonical.cost_usd, canonical.latency_ms))
    cheapest, fastest = (weight if most is None else weight.of(most) for weight in weights)
    if not fastest.least <= slo_ms:
        return 0.0
    return bracket(cheapest, fastest, slo_ms).price


def _first(score: Floats, mask: Mask, most: int | None) -> Mask:
    """The boundaries of the mask, or so many of them of the least score."""
    if most is None or mask.sum() <= most:
        return mask
    found: Mask = np.zeros(len(mask), dtype=bool)
    found[np.argsort(np.where(mask, score, np.inf), kind="stable")[:most]] = True
    found[[0, -1]] = True
    return found


def _through(weight: Floats, functions: int | None) -> Floats:
    """The least weight of a path through each boundary, of at most so many functions (any, where there are many)."""
    backwards = np.ascontiguousarray(weight[::-1, ::-1].T)
    if functions is None or functions > _MOST_COUNTED:
        free: Floats = to_go(backwards, None).rows[0, ::-1] + to_go(weight, None).rows[0]
        return free
    reached = to_go(backwards, functions).rows[:, ::-1]
    onwards = np.minimum.accumulate(to_go(weight, functions).rows, axis=0)
    least: Floats = np.min(reached + onwards[::-1], axis=0)
    return least


def _chosen(decider: Decider, problem: Problem, slo_ms: float | None) -> tuple[Chosen | None, InfeasibleError | None]:
    try:
        return decider.choose(problem, slo_ms), None
    except InfeasibleError as error:
        return None, error


def _bounds(decider: Decider, best: Chosen | None, slo_ms: float | None) -> tuple[float, float]:
    """Cost and latency that no plan better than the best one known exceeds."""
    most_usd = np.inf if decider.budget_usd is None else decider.budget_usd
    most_ms = np.inf if slo_ms is None else slo_ms
    if best is not None and decider.objective == "cost":
        most_usd = best.cost_usd
    if best is not None and decider.objective == "latency":
        most_ms = best.latency_ms
    return most_usd, most_ms


def _beats(decider: Decider, chosen: Chosen, best: Chosen) -> bool:
    """Whether the chain is better than the best one known by enough to change the order for it."""
    usd, latency_ms = chosen.cost_usd - best.cost_usd, chosen.latency_ms - best.latency_ms
    cheaper, faster = usd < -_WORTH * best.cost_usd, latency_ms < -_WORTH * best.latency_ms
    if decider.objective == "cost":
        return cheaper
    if decider.objective == "latency":
        return faster or (cheaper and latency_ms <= _HAIR * best.latency_ms)
    # Of two knees, the one that gains more, in shares, than it gives away.
    gains = (-part / whole for part, whole in ((usd, best.cost_usd), (latency_ms, best.latency_ms)) if whole > 0)
    return sum(gains) > _WORTH_BALANCED


def _placed(decider: Decider, some: Branches, chosen: Chosen, note: str, plain: Chosen | None) -> Arranged:
    """A chain of boundaries as one of positions in its order."""
    moved, order = some.placed(decider, chosen)
    places = some.lattice.positions
    cuts = {places[stop] for _, stop, _ in chosen.slices}
    known = [cut.index for cut in moved.sizing.profile.cut_positions]
    problem = moved.problem([0, *sorted({*thinned(moved.sizing.profile, known), *cuts})])
    number = {position: index for index, position in enumerate(problem.table.positions)}
    slices = tuple((number[places[start]], number[places[stop]], size) for start, stop, size in chosen.slices)
    return Arranged(moved, problem, replace(chosen, slices=slices), order, note, plain)


def _gain(chosen: Chosen, plain: Chosen | None) -> str:
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
