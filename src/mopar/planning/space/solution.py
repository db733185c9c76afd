"""A search's solution: a chain of slices with the sizes of their functions."""

from dataclasses import dataclass

from mopar.planning.model.shape import Size


@dataclass(frozen=True, slots=True)
class Solution:
    """A chain of slices with their sizes.

    Attributes:
        slices: (start, stop, size), by position number; in as many parts as the size says.
        cost_usd, latency_ms: of a request.
        grid_ms: latencies of slices were rounded up to multiples of it; 0 where they were not.
    """

    slices: tuple[tuple[int, int, Size], ...]
    cost_usd: float
    latency_ms: float
    grid_ms: float

    @property
    def functions(self) -> int:
        """Number of functions."""
        return sum(size.parts for _, _, size in self.slices)
