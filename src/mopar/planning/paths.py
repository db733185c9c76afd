"""Best chains of slices by one weight, and chains that a second weight limits, by Lagrangian bounds.

A plan is a path through the positions, an edge a slice. ``ToGo`` holds, for every position, the least weight from there
to the end (Bellman, backwards). ``bracket`` finds the multiplier that turns a limit on latency into a price, after
Handler and Zang, "A dual algorithm for the constrained shortest path problem" (Networks 10, 1980).
"""

from dataclasses import dataclass

import numpy as np

from mopar.planning.arithmetic import Floats

_ROUNDS = 40
_SAME = 1e-12

Path = tuple[tuple[int, int], ...]
"""Slices as pairs of position numbers, first to last."""


@dataclass(frozen=True, slots=True)
class ToGo:
    """Least weight from each position to the end.

    Attributes:
        weight: of each slice.
        rows: by number of functions left, exactly; a single row where any number will do.
        functions: of a whole path; None for any number.
    """

    weight: Floats
    rows: Floats
    functions: int | None = None

    def of(self, functions: int) -> "ToGo":
        """The same for paths of exactly so many functions, at most those that ``rows`` were made for."""
        return ToGo(self.weight, self.rows, functions)

    def after(self, used: int) -> Floats:
        """Least weight to the end from each position, once ``used`` functions are used."""
        row: Floats = self.rows[0 if self.functions is None else self.functions - used]
        return row

    @property
    def least(self) -> float:
        """Of a whole path; infinite where there is none."""
        return float(self.after(0)[0])

    def path(self) -> Path:
        """A path of least weight. There must be one."""
        edges: list[tuple[int, int]] = []
        position, end = 0, len(self.weight) - 1
        while position != end:
            following = int(np.argmin(self.weight[position] + self.after(len(edges) + 1)))
            edges.append((position, following))
            position = following
        return tuple(edges)


def to_go(weight: Floats, functions: int | None) -> ToGo:
    """Bellman's backward sweep: O(n^2), times the number of functions where it is fixed."""
    count = len(weight)
    if functions is None:
        togo = np.full(count, np.inf)
        togo[-1] = 0.0
        for position in range(count - 2, -1, -1):
            togo[position] = np.min(weight[position, position + 1 :] + togo[position + 1 :])
        return ToGo(weight, togo[None, :])
    rows = np.full((functions + 1, count), np.inf)
    rows[0, -1] = 0.0
    for left in range(1, functions + 1):
        rows[left] = np.min(weight + rows[left - 1], axis=1)
    return ToGo(weight, rows, functions)


def weigh(weight: Floats, path: Path) -> float:
    """Sum of a weight along a path."""
    return float(sum(weight[edge] for edge in path))


@dataclass(frozen=True, slots=True)
class Bracket:
    """What keeping a limit costs at least.

    Attributes:
        price: multiplier of the limited weight.
        togo: least ``weight + price x limited`` from each position to the end.
        path: the best path found that keeps the limit.
        least: no path that keeps the limit weighs less.
    """

    price: float
    togo: ToGo
    path: Path
    least: float


def bracket(weight: ToGo, limited: ToGo, limit: float) -> Bracket:
    """The best Lagrangian bound on ``weight`` among paths whose ``limited`` sums to at most ``limit``.

    Some path must keep the limit.
    """
    over = weight.path()
    if weigh(limited.weight, over) <= limit:
        return Bracket(0.0, weight, over, weight.least)
    under = limited.path()
    best = Bracket(0.0, weight, under, weight.least)
    # Where no slice is allowed both weights are infinite, and 0 x infinity is no number.
    finite = np.where(np.isfinite(limited.weight), limited.weight, 0.0)
    for _ in range(_ROUNDS):
        saved = weigh(finite, over) - weigh(finite, under)
        if saved <= 0:
            break
        price = max((weigh(weight.weight, under) - weigh(weight.weight, over)) / saved, 0.0)
        togo = to_go(weight.weight + price * finite, weight.functions)
        if togo.least - price * limit > best.least:
            best = Bracket(price, togo, under, togo.least - price * limit)
        known = weigh(togo.weight, under)
        if togo.least >= known - _SAME * abs(known):
            break
        path = togo.path()
        if weigh(finite, path) <= limit:
            under = path
        else:
            over = path
    return Bracket(best.price, best.togo, under, best.least)
