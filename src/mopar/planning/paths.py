"""Best chains of slices by one weight, and chains that a second weight limits, by Lagrangian bounds.

A plan is a path through the positions, an edge a slice. ``ToGo`` holds, for every position and number of
functions left, the least weight from there to the end (Bellman, backwards). ``bracket`` finds the multiplier that turns
a limit on latency into a price, after Handler and Zang, "A dual algorithm for the constrained shortest path problem"
(Networks 10, 1980).
"""

from dataclasses import dataclass

import numpy as np

from mopar.planning.arithmetic import Floats

_ROUNDS = 40
_SAME = 1e-12

Path = tuple[tuple[int, int], ...]
"""Slices as pairs of position numbers, first to last."""


class ToGo:
    """Least weight from each position to the end, with at most so many functions. O(n^2) per function count."""

    def __init__(self, weight: Floats, max_functions: int | None) -> None:
        self._weight = weight
        count = len(weight)
        # As many functions as there are slices at most is no limit, and one sweep suffices.
        self._limited = max_functions is not None and max_functions < count - 1
        self.rows = self._by_count(max_functions or 0) if self._limited else self._sweep()

    def _sweep(self) -> Floats:
        count = len(self._weight)
        togo = np.full(count, np.inf)
        togo[-1] = 0.0
        for position in range(count - 2, -1, -1):
            togo[position] = np.min(self._weight[position, position + 1 :] + togo[position + 1 :])
        return togo[None, :]

    def _by_count(self, max_functions: int) -> Floats:
        rows = np.full((max_functions + 1, len(self._weight)), np.inf)
        rows[:, -1] = 0.0
        for left in range(1, max_functions + 1):
            rows[left, :-1] = np.min(self._weight[:-1] + rows[left - 1], axis=1)
        return rows

    def after(self, used: int) -> Floats:
        """Least weight to the end from each position, once ``used`` functions are used."""
        row: Floats = self.rows[max(len(self.rows) - 1 - used, 0) if self._limited else 0]
        return row

    @property
    def least(self) -> float:
        """Of a whole path; infinite where there is none."""
        return float(self.after(0)[0])

    def path(self) -> Path:
        """A path of least weight. There must be one."""
        edges: list[tuple[int, int]] = []
        position, end = 0, len(self._weight) - 1
        while position != end:
            following = int(np.argmin(self._weight[position] + self.after(len(edges) + 1)))
            edges.append((position, following))
            position = following
        return tuple(edges)


def weigh(weight: Floats, path: Path) -> float:
    """Sum of a weight along a path."""
    return float(sum(weight[edge] for edge in path))


@dataclass(frozen=True, slots=True)
class Bracket:
    """What a limit costs at least.

    Attributes:
        price: multiplier of the limited weight.
        togo: least ``weight + price x limited`` from each position to the end.
        path: the best path found that keeps the limit.
    """

    price: float
    togo: ToGo
    path: Path


def bracket(weight: Floats, limited: Floats, limit: float, max_functions: int | None) -> Bracket:
    """The best Lagrangian bound on ``weight`` among paths whose ``limited`` sums to at most ``limit``.

    Some path must keep the limit.
    """
    togo = ToGo(weight, max_functions)
    over = togo.path()
    if weigh(limited, over) <= limit:
        return Bracket(0.0, togo, over)
    under = ToGo(limited, max_functions).path()
    best = Bracket(0.0, togo, under)
    # Where no slice is allowed both weights are infinite, and 0 x infinity is no number.
    finite = np.where(np.isfinite(limited), limited, 0.0)
    for _ in range(_ROUNDS):
        saved = weigh(limited, over) - weigh(limited, under)
        if saved <= 0:
            break
        price = max((weigh(weight, under) - weigh(weight, over)) / saved, 0.0)
        togo = ToGo(weight + price * finite, max_functions)
        path = togo.path()
        best = Bracket(price, togo, under)
        known = weigh(weight, under) + price * weigh(limited, under)
        if togo.least >= known - _SAME * abs(known):
            break
        if weigh(limited, path) <= limit:
            under = path
        else:
            over = path
    return Bracket(best.price, best.togo, under)
