"""Which boundaries of a model's parallel branches are looked at.

All of them, where that takes no long time; else a part, of each section (``branches``) and of the model (here).
"""

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mopar.planning.arithmetic import call_costs
from mopar.planning.branches import Run, bits, boundaries_of, is_canonical, runs_of, sections_of
from mopar.planning.decide import Decider
from mopar.planning.lattice import Lattice, Mask
from mopar.planning.problem import Problem, problem_of
from mopar.planning.reorder import reordered
from mopar.planning.search import Chosen
from mopar.planning.sizes import Sizing
from mopar.planning.thin import load_before
from mopar.types import Profile


@dataclass(frozen=True, slots=True)
class Effort:
    """How many boundaries are looked at.

    Attributes:
        exact_runs: of a section of so many runs all are, at first.
        in_section: of a larger one so many.
        table: where the table of slices takes more steps than so many, the square of the boundaries times the layers,
            boundaries of a section that are alike in load are not told apart; None for never.
        searched: of those that a better plan may pass, the likeliest so many; None for all.
        sized: the same where CPUs are to be chosen too, which takes the search longer.
    """

    exact_runs: int = 12
    in_section: int = 1024
    table: float | None = 3e8
    searched: int | None = 600
    sized: int | None = 100

    def most(self, sizing: Sizing) -> int | None:
        """How many boundaries are searched."""
        one = sizing.book.mib_per_vcpu is None and len(sizing.cpu_sizes) == 1
        return self.searched if one else self.sized


NORMAL = Effort()
EXACT = Effort(table=None, searched=None, sized=None)
ON_FRONT = Effort(searched=300, sized=100)
"""For a front, which many searches find."""
_ALIKE = (0.0005, 0.001, 0.002, 0.004)
"""Boundaries are alike whose shares of the model's time and of its weights differ by less, added up: the first of these
that leaves few enough."""


@dataclass(frozen=True, slots=True)
class Branches:
    """The boundaries of all orders of a model's branches.

    Attributes:
        lattice: those that are looked at.
        of: how many there are, as far as they were found.
        complete: whether all were found: of a large section they are not.
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

    def at(self, kept: Mask | Sequence[int]) -> "Branches":
        """Some of the boundaries; the first and the last among them."""
        return replace(self, lattice=self.lattice.at(kept))


def branches_of(profile: Profile, positions: Sequence[int], effort: Effort) -> Branches | None:
    """The boundaries worth looking at; None where no branches stand side by side.

    Args:
        profile: in canonical order.
        positions: canonical ones to look at, 0 and the number of layers among them.
        effort: how many boundaries to look at.
    """
    runs = runs_of(profile)
    found, complete = _inside(runs, effort)
    moved = [boundary for inside in found for boundary in inside if not is_canonical(boundary)]
    if not moved:
        return None
    of = len(moved) + len(positions)
    if effort.table is not None and of**2 * len(profile.layers) > effort.table:
        load = np.diff(load_before(profile))
        loads = [float(load[run.start : run.stop].sum()) for run in runs]
        for alike in _ALIKE:
            moved = [boundary for inside in found for boundary in _told_apart(inside, loads, alike)]
            if (len(moved) + len(positions)) ** 2 * len(profile.layers) <= effort.table / 2:
                break
    canonical = np.arange(len(profile.layers))[None, :] < np.array(positions)[:, None]
    holds = np.stack([*canonical, *(_layers(runs, boundary, len(profile.layers)) for boundary in moved)])
    # Fewer layers first: what is within another boundary comes before it.
    lattice = Lattice.of(profile, holds[np.argsort(holds.sum(axis=1), kind="stable")])
    return Branches(lattice, of, complete)


def _inside(runs: tuple[Run, ...], effort: Effort) -> tuple[list[dict[int, int]], bool]:
    """The boundaries of each section with their bytes, and whether they are all."""
    found = [boundaries_of(runs, section, effort.in_section, effort.exact_runs) for section in sections_of(runs)]
    return [inside for inside, _ in found], all(complete for _, complete in found)


def _told_apart(inside: Mapping[int, int], loads: Sequence[float], alike: float) -> list[int]:
    """Of boundaries alike in load, the one that the fewest bytes cross; canonical ones are preferred, and left out."""
    kept: list[int] = []
    taken: list[float] = []
    for boundary in sorted(inside, key=lambda one: (inside[one], not is_canonical(one))):
        load = sum(loads[number] for number in bits(boundary))
        near = bisect_left(taken, load - alike)
        if near == len(taken) or taken[near] > load + alike:
            insort(taken, load)
            kept.append(boundary)
    return [boundary for boundary in kept if not is_canonical(boundary)]


def _layers(runs: Sequence[Run], boundary: int, count: int) -> Mask:
    found = np.zeros(count, dtype=bool)
    for number in bits(boundary):
        found[runs[number].start : runs[number].stop] = True
    return found
