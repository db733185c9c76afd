"""Slices at the sizes that a price book sells, as the Lagrangian bounds see them."""

from dataclasses import dataclass

import numpy as np

from mopar.planning.arithmetic import Floats
from mopar.planning.paths import Edge, Path
from mopar.planning.problem import Problem


@dataclass(frozen=True, slots=True)
class Menu:
    """A ``paths.Priced`` over a few sizes of every slice.

    Attributes:
        weight, limited: by size, way, start and stop; infinite where a slice cannot be had at a size.
    """

    weight: Floats
    limited: Floats

    def least(self, price: float) -> Floats:
        """Of each slice, the least ``weight + price x limited`` over its sizes."""
        found: Floats = self._at(price).min(axis=0)
        return found

    def sums(self, path: Path, price: float, /) -> tuple[float, float]:
        """Weight and what is limited of a path whose slices have those sizes; at an infinite price, the fastest."""
        weight = limited = 0.0
        for edge in path:
            one, other = (column[:, *edge] for column in (self.weight, self.limited))
            # Of sizes that are as good, the one that takes less of what is limited, or weighs less.
            order = (one, other) if np.isinf(price) else (other, self._at(price, edge))
            pick = np.lexsort(order)[0]
            weight, limited = weight + float(one[pick]), limited + float(other[pick])
        return weight, limited

    def _at(self, price: float, edge: Edge | None = None) -> Floats:
        """``weight + price x limited`` of every size, of all slices or one."""
        one, other = (column if edge is None else column[:, *edge] for column in (self.weight, self.limited))
        # Where a size cannot be had both are infinite, and 0 x infinity is no number.
        both: Floats = one + price * np.where(np.isfinite(other), other, 0.0)
        return both


def menu_of(problem: Problem, cost: float, latency: float) -> Menu | None:
    """The sizes of a problem's slices, weighed as the objective says; None where memory buys CPU, at any size."""
    if problem.menu is None:
        return None
    usd, ms = problem.menu.cost_usd[:, None], np.where(problem.allowed, problem.menu.latency_ms, np.inf)[:, None]
    if problem.groups:
        # Slices as several functions have one size.
        usd, ms = (
            np.concatenate([one, np.broadcast_to(others[1:], (len(one), *others[1:].shape))], axis=1)
            for one, others in ((usd, problem.costs_usd), (ms, problem.latencies_ms))
        )
    had = np.isfinite(ms)
    weight = cost * np.where(had, usd, 0.0) + latency * np.where(had, ms, 0.0)
    return Menu(np.where(had, weight, np.inf), ms)
