"""Which boundaries of a model's parallel branches are looked at.

All of them, where that takes no long time; else a part, of each section (``branches``) and of the model (here).
"""

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mopar.planning.numbers import Mask
from mopar.planning.order.branches import Run, bits, boundaries_of, is_canonical, runs_of, sections_of
from mopar.planning.order.lattice import Lattice
from mopar.planning.policy import BranchPolicy
from mopar.planning.space.downsample import load_before
from mopar.planning.space.problem import Problem, problem_of
from mopar.planning.space.question import Question
from mopar.planning.space.solution import Solution


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

    def problem(self, question: Question, rows: slice = slice(None)) -> Problem:
        """Which of them to cut at, starting at some."""
        return problem_of(question, self.lattice.table(rows), self.lattice.candidates(rows))

    def placed(self, question: Question, solution: Solution) -> tuple[Question, tuple[int, ...]]:
        """The order of a chain found over the lattice, and the question of the model in that order."""
        order = self.lattice.order([0, *(stop for _, stop, _ in solution.slices)])
        moved = question.in_order(order)
        return moved, () if moved is question else order

    def at(self, kept: Mask | Sequence[int]) -> "Branches":
        """Some of the boundaries; the first and the last among them."""
        return replace(self, lattice=self.lattice.at(kept))


def branches_of(question: Question, positions: Sequence[int]) -> Branches | None:
    """The boundaries worth looking at; None where no branches stand side by side.

    Args:
        question: of the model in canonical order; its policy says how many boundaries to look at.
        positions: canonical ones to look at, 0 and the number of layers among them.
    """
    policy, count = question.policy.branches, question.model.layers
    runs = runs_of(question.model.profile)
    found, complete = _inside(runs, policy)
    moved = [boundary for inside in found for boundary in inside if not is_canonical(boundary)]
    if not moved:
        return None
    of = len(moved) + len(positions)
    if policy.table is not None and of**2 * count > policy.table:
        load = np.diff(load_before(question))
        loads = [float(load[run.start : run.stop].sum()) for run in runs]
        for alike in policy.alike:
            moved = [boundary for inside in found for boundary in _told_apart(inside, loads, alike)]
            if (len(moved) + len(positions)) ** 2 * count <= policy.table / 2:
                break
    canonical = np.arange(count)[None, :] < np.array(positions)[:, None]
    holds = np.stack([*canonical, *(_layers(runs, boundary, count) for boundary in moved)])
    # Fewer layers first: what is within another boundary comes before it.
    lattice = Lattice.of(question.model, holds[np.argsort(holds.sum(axis=1), kind="stable")])
    return Branches(lattice, of, complete)


def _inside(runs: tuple[Run, ...], policy: BranchPolicy) -> tuple[list[dict[int, int]], bool]:
    """The boundaries of each section with their bytes, and whether they are all."""
    found = [boundaries_of(runs, section, policy.in_section, policy.exact_runs) for section in sections_of(runs)]
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


def most_searched(question: Question) -> int | None:
    """How many boundaries are searched; fewer where CPUs are to be chosen too."""
    policy = question.policy.branches
    one = question.model.book.mib_per_vcpu is None and len(question.cpu_sizes) == 1
    return policy.searched if one else policy.sized
