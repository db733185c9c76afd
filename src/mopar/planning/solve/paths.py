"""Best chains of slices by one weight, and chains with a limit on a second weight, by Lagrangian bounds.

A plan is a path through the positions, an edge a slice in one of several *options*: as one function, or in so many
parts, with a matrix of weights for each. ``CostToGo`` holds, for every position, the least weight from there to the end
(Bellman, backwards). ``bracket`` finds the multiplier that turns a limit on latency into a price, after Handler and
Zang, "A dual algorithm for the constrained shortest path problem" (Networks 10, 1980).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mopar.planning.numbers import Floats
from mopar.planning.policy import DEFAULT, SolvePolicy

_WITH_OPTIONS = 3

Edge = tuple[int, int, int]
"""A slice: the number of its option, and of the positions where it starts and stops."""
Path = tuple[Edge, ...]
"""Slices, first to last."""
ONE_FUNCTION = (1,)


@dataclass(frozen=True, slots=True)
class CostToGo:
    """Least weight from each position to the end.

    Attributes:
        weight: of each slice; options x positions x positions.
        rows: by exact number of functions left; a single row where any number is allowed.
        each: number of functions of a slice, by option.
        functions: of a whole path; None for any number.
    """

    weight: Floats
    rows: Floats
    each: tuple[int, ...] = ONE_FUNCTION
    functions: int | None = None

    def of(self, functions: int) -> "CostToGo":
        """The same for paths of exactly that many functions, at most the number that ``rows`` were made for."""
        return CostToGo(self.weight, self.rows, self.each, functions)

    def after(self, used: int) -> Floats:
        """Least weight from each position to the end, after ``used`` functions."""
        if self.functions is None:
            row: Floats = self.rows[0]
        elif used > self.functions:
            row = np.full(self.rows.shape[1], np.inf)
        else:
            row = self.rows[self.functions - used]
        return row

    @property
    def least(self) -> float:
        """Least weight of a whole path; infinite where there is none."""
        return float(self.after(0)[0])

    def path(self) -> Path:
        """A path of least weight. There must be one."""
        edges: list[Edge] = []
        position, used, end = 0, 0, self.weight.shape[-1] - 1
        while position != end:
            through = np.stack(
                [
                    weight[position] + self.after(used + each)
                    for weight, each in zip(self.weight, self.each, strict=True)
                ]
            )
            option, following = (int(number) for number in np.unravel_index(int(np.argmin(through)), through.shape))
            edges.append((option, position, following))
            position, used = following, used + self.each[option]
        return tuple(edges)


def cost_to_go(weight: Floats, functions: int | None, each: tuple[int, ...] = ONE_FUNCTION) -> CostToGo:
    """Bellman's backward sweep: O(n^2) for each option, times the number of functions where it is fixed.

    Args:
        weight: of each slice, options x positions x positions; without the options where there is one.
        functions: of a whole path, at most; None for any number.
        each: how many functions a slice is, by option.
    """
    weight = weight if weight.ndim == _WITH_OPTIONS else weight[None]
    count = weight.shape[-1]
    if functions is None:
        least = weight.min(axis=0)
        to_go = np.full(count, np.inf)
        to_go[-1] = 0.0
        for position in range(count - 2, -1, -1):
            to_go[position] = np.min(least[position, position + 1 :] + to_go[position + 1 :])
        return CostToGo(weight, to_go[None, :], each)
    rows = np.full((functions + 1, count), np.inf)
    rows[0, -1] = 0.0
    for left in range(1, functions + 1):
        for some, taken in zip(weight, each, strict=True):
            if taken <= left:
                rows[left] = np.minimum(rows[left], np.min(some + rows[left - taken], axis=1))
    return CostToGo(weight, rows, each, functions)


def weigh(weight: Floats, path: Path) -> float:
    """Sum of a weight along a path."""
    return float(sum(weight[edge] for edge in path))


class Priced(Protocol):
    """Slices at several sizes, which differ in weight and in the limited quantity."""

    def least(self, price: float) -> Floats:
        """For each slice, the least ``weight + price x limited`` over its sizes."""

    def sums(self, path: Path, price: float, /) -> tuple[float, float]:
        """Weight and limited quantity of a path at the best sizes for a price; at an infinite price, the fastest."""


@dataclass(frozen=True, slots=True)
class OneSize:
    """Slices at one size each: a ``Priced`` of two weights."""

    weight: Floats
    limited: Floats

    def least(self, price: float) -> Floats:
        """Implement ``Priced``."""
        # Where no slice is allowed both weights are infinite, and 0 x infinity is not a number.
        return self.weight + price * np.where(np.isfinite(self.limited), self.limited, 0.0)

    def sums(self, path: Path, _price: float, /) -> tuple[float, float]:
        """Implement ``Priced``."""
        return weigh(self.weight, path), weigh(self.limited, path)


@dataclass(frozen=True, slots=True)
class Bracket:
    """Bounds on the least weight within a limit.

    Attributes:
        price: multiplier of the limited weight.
        to_go: least ``weight + price x limited`` from each position to the end.
        path: the best path found that keeps the limit.
        least: lower bound on the weight of paths that keep the limit.
    """

    price: float
    to_go: CostToGo
    path: Path
    least: float


def bracket(
    weight: CostToGo,
    limited: CostToGo,
    limit: float,
    priced: Priced | None = None,
    enough: float = np.inf,
    policy: SolvePolicy = DEFAULT.solve,
) -> Bracket:
    """The best Lagrangian bound on ``weight``, up to ``enough``, of paths whose ``limited`` is at most ``limit``.

    Some path must keep the limit. Where slices have several sizes, ``weight`` and ``limited`` are separate minima over
    them; ``priced`` has the pairs, which makes the bound tight.
    """
    priced = priced or OneSize(weight.weight, limited.weight)
    over, under = weight.path(), limited.path()
    cheap, fast = priced.sums(over, 0.0), priced.sums(under, np.inf)
    if cheap[1] <= limit:
        return Bracket(0.0, weight, over, weight.least)
    best = Bracket(0.0, weight, under, weight.least)
    for _ in range(policy.price_rounds):
        saved = cheap[1] - fast[1]
        if saved <= 0:
            break
        price = max((fast[0] - cheap[0]) / saved, 0.0)
        to_go = cost_to_go(priced.least(price), weight.functions, weight.each)
        if to_go.least - price * limit > best.least:
            best = Bracket(price, to_go, under, to_go.least - price * limit)
        known = fast[0] + price * fast[1]
        if best.least >= enough or to_go.least >= known - policy.same_price * abs(known):
            break
        path = to_go.path()
        found = priced.sums(path, price)
        if found[1] <= limit:
            under, fast = path, found
        else:
            cheap = found
    return Bracket(best.price, best.to_go, under, best.least)
