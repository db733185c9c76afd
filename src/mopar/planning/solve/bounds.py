"""Whether chains keep limits, and which limit prevents it: over arrays, in O(n^2) for n positions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mopar.planning.numbers import Floats, Mask
from mopar.planning.solve.chains import Chains
from mopar.planning.solve.paths import cost_to_go


@dataclass(frozen=True, slots=True)
class SliceLimit:
    """A limit that each slice must keep individually: ``quantity`` (per slice) at most ``value``."""

    name: str
    value: float
    quantity: Floats

    @property
    def kept(self) -> Mask:
        """Which slices keep it."""
        found: Mask = self.quantity <= self.value
        return found


@dataclass(frozen=True, slots=True)
class Blamed:
    """A limit that no chain keeps, and the smallest value with which one would."""

    limit: SliceLimit
    nearest: float


def connected(allowed: Mask) -> bool:
    """Whether some chain is made of allowed slices."""
    return bool(np.isfinite(cost_to_go(np.where(allowed, 1.0, np.inf), None).least))


def fewest_functions(chains: Chains) -> float:
    """Fewest functions of a chain within all other limits; infinite where there is none."""
    each = np.array(chains.functions, dtype=np.float64)[:, None, None]
    counts = np.where(np.isfinite(chains.latency_ms), each, np.inf)
    return cost_to_go(counts, None, chains.functions).least


def least_latency_ms(chains: Chains) -> float:
    """Latency of the fastest chain within all limits, including that of functions. There must be one."""
    free = cost_to_go(chains.latency_ms, None, chains.functions)
    most = chains.most_functions
    if most is None or sum(chains.functions[option] for option, _, _ in free.path()) <= most:
        return free.least
    return float(np.min(cost_to_go(chains.latency_ms, most, chains.functions).rows[:, 0]))


def limit_to_blame(candidates: Mask, limits: Sequence[SliceLimit]) -> Blamed:
    """The limit that makes all chains infeasible: one whose removal suffices, otherwise they are removed one by one."""
    alone = [(limit, [other for other in limits if other is not limit]) for limit in limits]
    in_turn = [(limit, list(limits[number + 1 :])) for number, limit in enumerate(limits)]
    for limit, others in [*alone, *in_turn]:
        rest = candidates.copy()
        for other in others:
            rest &= other.kept
        if connected(rest):
            return Blamed(limit, bottleneck(limit.quantity, rest))
    raise AssertionError("slices without any limit make a path")


def bottleneck(quantity: Floats, allowed: Mask) -> float:
    """The smallest possible maximum of the quantity along a path; infinite where there is none."""
    least = np.full(len(quantity), np.inf)
    least[-1] = 0.0
    usable = np.where(allowed, quantity, np.inf)
    for position in range(len(quantity) - 2, -1, -1):
        least[position] = np.min(np.maximum(usable[position, position + 1 :], least[position + 1 :]))
    return float(least[0])
