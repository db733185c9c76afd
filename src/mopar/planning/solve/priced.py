"""Slices at the sizes that a price book sells, as the Lagrangian bounds see them."""

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
        limited: the same; anything there.
    """

    weight: Floats
    limited: Floats

    def least(self, price: float) -> Floats:
        """Of each slice, the least ``weight + price x limited`` over its sizes."""
        found: Floats = (self.weight + price * self.limited).min(axis=0)
        return found

    def sums(self, path: Path, price: float, /) -> tuple[float, float]:
        """Weight and what is limited of a path whose slices have those sizes; at an infinite price, the fastest."""
        weight = limited = 0.0
        for edge in path:
            one, other = (column[:, *edge] for column in (self.weight, self.limited))
            # Of sizes that are as good, the one that takes less of what is limited, or weighs less.
            fastest = np.where(np.isfinite(one), other, np.inf)
            order = (one, fastest) if np.isinf(price) else (other, one + price * other)
            pick = np.lexsort(order)[0]
            weight, limited = weight + float(one[pick]), limited + float(other[pick])
        return weight, limited


def priced_sizes(chains: Chains, cost: float, latency: float) -> PricedSizes | None:
    """The sizes of all slices, weighed as the objective says; None where memory buys CPU, at any size."""
    if chains.sold_usd is None or chains.sold_ms is None:
        return None
    allowed = np.isfinite(chains.latency_ms[0])
    usd, ms = chains.sold_usd[:, None], np.where(allowed, chains.sold_ms, np.inf)[:, None]
    if len(chains.functions) > 1:
        # Slices as several functions have one size.
        usd, ms = (
            np.concatenate([one, np.broadcast_to(others[1:], (len(one), *others[1:].shape))], axis=1)
            for one, others in ((usd, chains.cost_usd), (ms, chains.latency_ms))
        )
    had = np.isfinite(ms)
    weight = cost * np.where(had, usd, 0.0) + latency * np.where(had, ms, 0.0)
    return PricedSizes(np.where(had, weight, np.inf), np.where(had, ms, 0.0))
