"""The search problem as arrays: slices between positions, their weights, and their numbers of functions."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from mopar.planning.numbers import TOLERANCE, Floats, Num
from mopar.planning.solve.paths import Edge


class SizeColumns(Protocol):
    """The useful sizes of one slice as columns: each is cheaper than all faster ones, cheapest first."""

    @property
    def cost_usd(self) -> Floats:
        """Of each size."""

    @property
    def latency_ms(self) -> Floats:
        """Of each size."""


class SizesOf(Protocol):
    """Returns the sizes of a slice: there are too many to store for all slices where memory buys CPU."""

    def __call__(self, edge: Edge, /) -> SizeColumns:
        """Sizes of a slice in one of its options."""


@dataclass(frozen=True, slots=True)
class HeldPrice:
    """The price of what runs a chain of several functions, which is paid for as long as a request lasts.

    Attributes:
        request_usd: of a request, however long it lasts.
        usd_per_ms: of a millisecond.
        unit_ms: latencies are rounded up to a multiple of it; 0 for no rounding.
    """

    request_usd: float
    usd_per_ms: float
    unit_ms: float

    def units(self, latency_ms: Num) -> Num:
        """How many units of time a latency takes."""
        return -((TOLERANCE - latency_ms / self.unit_ms) // 1.0)

    def usd(self, latency_ms: Num) -> Num:
        """The price of a request of some latency."""
        billed_ms = self.units(latency_ms) * self.unit_ms if self.unit_ms > 0 else latency_ms
        return billed_ms * self.usd_per_ms + self.request_usd


@dataclass(frozen=True, slots=True)
class Chains:
    """Slices between positions 0 .. ``end``, of which chains consist.

    Attributes:
        cost_usd, latency_ms: lower bounds over the sizes of a slice: options x positions x positions, infinite where a
            slice is not allowed. The first option is one function, the others are groups.
        functions: of a slice, by option.
        sizes: of a slice in one of its options.
        most_functions: of a chain; None for any number.
        sold_usd, sold_ms: of each size of a slice as one function, sizes x positions x positions; None where memory
            buys CPU, since there are too many sizes.
        held: the price of what runs a chain of several functions, beside that of its slices; None for nothing.
    """

    cost_usd: Floats
    latency_ms: Floats
    functions: tuple[int, ...]
    sizes: SizesOf
    most_functions: int | None = None
    sold_usd: Floats | None = None
    sold_ms: Floats | None = None
    held: HeldPrice | None = None

    @property
    def end(self) -> int:
        """Number of the last position."""
        return len(self.cost_usd[0, 0]) - 1

    def split(self) -> "Chains":
        """The same without the unsplit model: one function from the first position to the last."""
        usd, ms = self.cost_usd.copy(), self.latency_ms.copy()
        usd[0, 0, self.end] = ms[0, 0, self.end] = np.inf
        return replace(self, cost_usd=usd, latency_ms=ms)

    def without_parts(self) -> "Chains":
        """The same with slices of one function only."""
        if len(self.functions) == 1:
            return self
        return replace(self, cost_usd=self.cost_usd[:1], latency_ms=self.latency_ms[:1], functions=self.functions[:1])


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of slices with their sizes.

    Attributes:
        slices: each with the number of its size.
        cost_usd, latency_ms: of a request.
        functions: number of functions.
        grid_ms: latencies of slices were rounded up to multiples of it; 0 where they were not.
    """

    slices: tuple[tuple[Edge, int], ...]
    cost_usd: float
    latency_ms: float
    functions: int
    grid_ms: float
