"""Slices at the sizes that a price book sells, for the Lagrangian bounds."""

from dataclasses import dataclass

import numpy as np

from mopar.planning.numbers import Floats
from mopar.planning.solve.chains import Chains
from mopar.planning.solve.paths import Path


@dataclass(frozen=True, slots=True)
class PricedSizes:
    """A ``paths.Priced`` over a few sizes of every slice.

    Attributes:
        weight: by size, option, start and stop; infinite where a slice cannot be had at a size.
        limited: the same; undefined there.
    """

    weight: Floats
    limited: Floats

    def least(self, price: float) -> Floats:
        """For each slice, the least ``weight + price x limited`` over its sizes."""
        found: Floats = (self.weight + price * self.limited).min(axis=0)
        return found

    def sums(self, path: Path, price: float, /) -> tuple[float, float]:
        """Weight and limited quantity of a path at the best sizes for a price; at an infinite price, the fastest."""
        weight = limited = 0.0
        for edge in path:
            one, other = (column[:, *edge] for column in (self.weight, self.limited))
            # Among equally good sizes, the one with less of the limited quantity, or with less weight.
            fastest = np.where(np.isfinite(one), other, np.inf)
            order = (one, fastest) if np.isinf(price) else (other, one + price * other)
            pick = np.lexsort(order)[0]
            weight, limited = weight + float(one[pick]), limited + float(other[pick])
        return weight, limited


def priced_sizes(chains: Chains, cost: float, latency: float) -> PricedSizes | None:
    """The sizes of all slices, weighted by the objective; None where memory buys CPU, since there are too many."""
    if chains.sold_usd is None or chains.sold_ms is None:
        return None
    allowed = np.isfinite(chains.latency_ms[0])
    usd, ms = chains.sold_usd[:, None], np.where(allowed, chains.sold_ms, np.inf)[:, None]
    if len(chains.functions) > 1:
        # A slice as a group has one size.
        usd, ms = (
            np.concatenate([one, np.broadcast_to(others[1:], (len(one), *others[1:].shape))], axis=1)
            for one, others in ((usd, chains.cost_usd), (ms, chains.latency_ms))
        )
    had = np.isfinite(ms)
    weight = cost * np.where(had, usd, 0.0) + latency * np.where(had, ms, 0.0)
    return PricedSizes(np.where(had, weight, np.inf), np.where(had, ms, 0.0))
