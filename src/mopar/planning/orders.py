"""Which order of the parallel branches to cut.

The search runs over the lattice of boundaries (``lattice``): it is exact over all orders where all boundaries are in
it, and exact over a part of them where a section has too many (``branches``), or the model has (here). Before it,
boundaries are dropped that no plan better than the best of the canonical order can pass: what a plan through a boundary
costs and takes at least is known from the best ways to it and on from it.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mopar.planning.arithmetic import Floats, call_costs
from mopar.planning.branches import Run, bits, boundaries_of, is_canonical, runs_of, sections_of
from mopar.planning.decide import Decider
from mopar.planning.lattice import Lattice, Mask
from mopar.planning.paths import to_go
from mopar.planning.problem import Problem, problem_of
from mopar.planning.reorder import reordered
from mopar.planning.search import Chosen
from mopar.planning.thin import load_before, thinned
from mopar.types import InfeasibleError, Profile


@dataclass(frozen=True, slots=True)
class Effort:
    """How many boundaries are looked at.

    Attributes:
        exact_runs: of a section of so many runs all are, at first.
        in_section: of a larger one so many.
        boundaries: where there are more, those of a section that are alike in load are not told apart; None for never.
        searched: of those that a better plan may pass, the likeliest so many; None for all.
    """

    exact_runs: int = 12
    in_section: int = 1024
    boundaries: int | None = 1200
    searched: int | None = 600


NORMAL = Effort()
EXACT = Effort(boundaries=None, searched=None)
ON_FRONT = Effort(searched=300)
"""For a front, which many searches find."""
_ALIKE = 0.004
"""Boundaries are alike whose shares of the model's time and of its weights differ by less, added up."""
_WORTH = 1e-6
"""Another order than the canonical one saves at least this part of what is minimised."""
_ROWS = 256
_HAIR = 1e-9


@dataclass(frozen=True, slots=True)
class Branches:
    """The boundaries of all orders of a model's branches.

    Attributes:
        lattice: those that are looked at.
        of: how many there are, as far as they were found.
        complete: whether all are looked at.
    """

    lattice: Lattice
    of: int
    complete: bool

    def problem(self, decider: Decider, rows: slice = slice(None)) -> Problem:
        """The question of which of them to cut at, starting at some."""
        table = self.lattice.table(call_costs(decider.sizing.profile, decider.limits), rows)
        mask = self.lattice.candidates(rows)
        return problem_of(decider.sizing, decider.limits, table, mask, max_functions=decider.max_functions)

    def placed(self, decider: Decider, chosen: Chosen) -> tuple[Decider, tuple[int, ...]]:
        """The order of a chain found over the lattice, and the decider for the profile in that order."""
        order = self.lattice.order([0, *(stop for _, stop, _ in chosen.slices)])
        profile = reordered(decider.sizing.profile, order)
        if profile is decider.sizing.profile:
            return decider, ()
        return replace(decider, sizing=replace(decider.sizing, profile=profile)), order

    def within(self, decider: Decider, most_usd: float, most_ms: float, most: int | None) -> "Branches":
        """The boundaries that a plan of such cost and latency can pass; of more than ``most``, the likeliest."""
        usd, latency = self._bounds(decider)
        through_usd, through_ms = _through(usd), _through(latency)
        kept = (through_usd <= most_usd * (1 + _HAIR)) & (through_ms <= most_ms * (1 + _HAIR))
        complete = self.complete and (most is None or kept.sum() <= most)
        if most is not None and kept.sum() > most:
            score = through_usd / max(through_usd.min(), _HAIR**2) + through_ms / max(through_ms.min(), _HAIR**2)
            score = np.where(kept, through_usd if decider.objective == "cost" else score, np.inf)
            kept = np.zeros(len(kept), dtype=bool)
            kept[np.argsort(score, kind="stable")[:most]] = True
        kept[[0, -1]] = True
        return Branches(self.lattice.at(kept), self.of, complete)

    def _bounds(self, decider: Decider) -> tuple[Floats, Floats]:
        """For every slice, bounds on price and latency; some rows at a time, for the table's memory."""
        parts = []
        for start in range(0, len(self.lattice.holds), _ROWS):
            problem = self.problem(decider, slice(start, start + _ROWS))
            parts.append((problem.cost_usd, problem.latency_ms))
        usd, latency = (np.concatenate(column) for column in zip(*parts, strict=True))
        return usd, latency


def branches_of(profile: Profile, positions: Sequence[int], effort: Effort) -> Branches | None:
    """The boundaries worth looking at; None where the branches leave no choice.

    Args:
        profile: in canonical order.
        positions: canonical ones to look at, 0 and the number of layers among them.
        effort: how many boundaries to look at.
    """
    runs = runs_of(profile)
    found, complete = _inside(runs, effort)
    moved = [boundary for inside in found for boundary in inside if not is_canonical(boundary)]
    of = len(moved) + len(positions)
    if effort.boundaries is not None and of > effort.boundaries:
        load = np.diff(load_before(profile))
        loads = [float(load[run.start : run.stop].sum()) for run in runs]
        moved = [boundary for inside in found for boundary in _told_apart(inside, loads)]
        complete = False
    if not moved:
        return None
    canonical = np.arange(len(profile.layers))[None, :] < np.array(positions)[:, None]
    holds = np.concatenate([canonical, [_layers(runs, boundary, len(profile.layers)) for boundary in moved]])
    # Fewer layers first: what is within another boundary comes before it.
    lattice = Lattice(profile, holds[np.argsort(holds.sum(axis=1), kind="stable")])
    return Branches(lattice, of, complete)


def _inside(runs: tuple[Run, ...], effort: Effort) -> tuple[list[dict[int, int]], bool]:
    """The boundaries of each section with their bytes, and whether they are all."""
    found = [boundaries_of(runs, section, effort.in_section, effort.exact_runs) for section in sections_of(runs)]
    return [inside for inside, _ in found], all(complete for _, complete in found)


def _told_apart(inside: Mapping[int, int], loads: Sequence[float]) -> list[int]:
    """Of boundaries alike in load, the one that the fewest bytes cross; canonical ones are preferred, and left out."""
    kept: list[int] = []
    taken: list[float] = []
    for boundary in sorted(inside, key=lambda one: (inside[one], not is_canonical(one))):
        load = sum(loads[number] for number in bits(boundary))
        near = bisect_left(taken, load - _ALIKE)
        if near == len(taken) or taken[near] > load + _ALIKE:
            insort(taken, load)
            kept.append(boundary)
    return [boundary for boundary in kept if not is_canonical(boundary)]


def _layers(runs: Sequence[Run], boundary: int, count: int) -> Mask:
    found = np.zeros(count, dtype=bool)
    for number in bits(boundary):
        found[runs[number].start : runs[number].stop] = True
    return found


def _through(weight: Floats) -> Floats:
    """The least weight of a path through each boundary."""
    reached = to_go(np.ascontiguousarray(weight[::-1, ::-1].T), None).after(0)[::-1]
    return reached + to_go(weight, None).after(0)


@dataclass(frozen=True, slots=True)
class Arranged:
    """The best chain over all orders.

    Attributes:
        decider: whose profile stands in ``order``, which is empty for the canonical one.
        problem, chosen: over positions in that order.
        note: on orders, for the plan's reason; empty where there is nothing to say.
    """

    decider: Decider
    problem: Problem
    chosen: Chosen
    order: tuple[int, ...]
    note: str


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
    branches = branches_of(decider.sizing.profile, canonical.table.positions, effort)
    plain, error = _chosen(decider, canonical, slo_ms)
    if branches is not None:
        most_usd, most_ms = _bounds(decider, plain, slo_ms)
        looked_at = branches.within(decider, most_usd, most_ms, effort.searched)
        if plain is None or not looked_at.lattice.canonical().all():
            moved = looked_at.problem(decider)
            chosen, missed = _chosen(decider, moved, slo_ms)
            if chosen is not None and (plain is None or _beats(decider, chosen, plain)):
                return _placed(decider, looked_at, chosen, plain)
            error = missed or error
    if plain is None:
        assert error is not None, "a question without an answer has an error"
        raise error
    return Arranged(decider, canonical, plain, (), "")


def _chosen(decider: Decider, problem: Problem, slo_ms: float | None) -> tuple[Chosen | None, InfeasibleError | None]:
    try:
        return decider.choose(problem, slo_ms), None
    except InfeasibleError as error:
        return None, error


def _bounds(decider: Decider, plain: Chosen | None, slo_ms: float | None) -> tuple[float, float]:
    """Cost and latency that no plan better than the best of the canonical order exceeds."""
    most_usd = np.inf if decider.budget_usd is None else decider.budget_usd
    most_ms = np.inf if slo_ms is None else slo_ms
    if plain is not None and decider.objective == "cost":
        most_usd = plain.cost_usd
    if plain is not None and decider.objective == "latency":
        most_ms = plain.latency_ms
    return most_usd, most_ms


def _beats(decider: Decider, chosen: Chosen, plain: Chosen) -> bool:
    """Whether the chain is worth another order than the canonical one."""
    usd, latency = chosen.cost_usd - plain.cost_usd, chosen.latency_ms - plain.latency_ms
    cheaper, faster = usd < -_WORTH * plain.cost_usd, latency < -_WORTH * plain.latency_ms
    if decider.objective == "cost":
        return cheaper
    if decider.objective == "latency":
        return faster or (cheaper and latency <= _HAIR * plain.latency_ms)
    return cheaper or faster


def _placed(decider: Decider, branches: Branches, chosen: Chosen, plain: Chosen | None) -> Arranged:
    """A chain of boundaries as one of positions in its order."""
    moved, order = branches.placed(decider, chosen)
    places = branches.lattice.positions
    cuts = {places[stop] for _, stop, _ in chosen.slices}
    known = [cut.index for cut in moved.sizing.profile.cut_positions]
    problem = moved.problem([0, *sorted({*thinned(moved.sizing.profile, known), *cuts})])
    number = {position: index for index, position in enumerate(problem.table.positions)}
    slices = tuple((number[places[start]], number[places[stop]], size) for start, stop, size in chosen.slices)
    return Arranged(moved, problem, replace(chosen, slices=slices), order, _note(branches, chosen, plain))


def _note(branches: Branches, chosen: Chosen, plain: Chosen | None) -> str:
    if plain is None:
        text = "only possible with parallel branches in another order"
    else:
        usd = chosen.cost_usd / plain.cost_usd - 1 if plain.cost_usd > 0 else 0.0
        text = f"parallel branches in another order: {usd:+.1%} cost, {chosen.latency_ms - plain.latency_ms:+.2f} ms"
    if branches.complete:
        return text
    return f"{text}; {len(branches.lattice.holds)} of {branches.of} boundaries looked at"
