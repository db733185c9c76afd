"""Slices and their sizes weighted by an objective: one weight to minimise, and a limited latency."""

from dataclasses import dataclass, field

import numpy as np

from mopar.planning.numbers import Floats, up_to
from mopar.planning.solve.chains import Chain, Chains, SizeColumns
from mopar.planning.solve.grid import SizedPath
from mopar.planning.solve.paths import Edge
from mopar.planning.solve.priced import PricedSizes, priced_sizes


@dataclass(frozen=True, slots=True)
class Objective:
    """Minimise ``cost x cost_usd + latency x latency_ms`` with at most ``slo_ms`` of latency."""

    cost: float = 1.0
    latency: float = 0.0
    slo_ms: float | None = None


@dataclass(slots=True)
class Best:
    """The best path known, with sizes."""

    weight: float = np.inf
    path: tuple[tuple[Edge, int], ...] = ()

    def offer(self, weight: float, path: SizedPath) -> None:
        """Replace the best path if the offered one is better."""
        if weight < self.weight:
            self.weight, self.path = weight, tuple(path)


@dataclass(frozen=True, slots=True)
class Weighed:
    """Chains under one objective.

    Attributes:
        chains, objective: which.
        slo_ms: most latency, infinite for any; includes a tolerance, as latencies are sums of floats.
        weight: lower bound over the sizes of each slice; options x positions x positions.
        priced: the sizes that slices are sold at; None where memory buys CPU.
    """

    chains: Chains
    objective: Objective
    slo_ms: float
    weight: Floats
    priced: PricedSizes | None
    _sizes: dict[Edge, SizeColumns] = field(default_factory=dict)

    @classmethod
    def of(cls, chains: Chains, objective: Objective) -> "Weighed":
        """O(sizes x options x n^2) for n positions."""
        slo_ms = np.inf if objective.slo_ms is None else up_to(objective.slo_ms)
        priced = priced_sizes(chains, objective.cost, objective.latency)
        if priced is not None:
            # The least cost and the least latency usually belong to different sizes; the least weight belongs to one.
            return cls(chains, objective, slo_ms, priced.least(0.0), priced)
        allowed = np.isfinite(chains.latency_ms)
        usd, ms = (np.where(allowed, figures, 0.0) for figures in (chains.cost_usd, chains.latency_ms))
        weight = objective.cost * usd + objective.latency * ms
        return cls(chains, objective, slo_ms, np.where(allowed, weight, np.inf), None)

    @property
    def latency(self) -> Floats:
        """Of each slice at its fastest size."""
        return self.chains.latency_ms

    @property
    def end(self) -> int:
        """Number of the last position."""
        return self.chains.end

    def sizes(self, edge: Edge) -> SizeColumns:
        """Sizes of a slice; computed on first use."""
        if edge not in self._sizes:
            self._sizes[edge] = self.chains.sizes(edge)
        return self._sizes[edge]

    def weights(self, edge: Edge) -> Floats:
        """Weights of a slice at each of its sizes."""
        sizes = self.sizes(edge)
        return self.objective.cost * sizes.cost_usd + self.objective.latency * sizes.latency_ms

    def chain(self, best: Best, grid_ms: float) -> Chain:
        """The best path as a chain."""
        cost_usd, latency_ms = 0.0, 0.0
        for edge, pick in best.path:
            cost_usd += float(self.sizes(edge).cost_usd[pick])
            latency_ms += float(self.sizes(edge).latency_ms[pick])
        functions = sum(self.chains.functions[option] for (option, _, _), _ in best.path)
        return Chain(best.path, cost_usd, latency_ms, functions, grid_ms)
