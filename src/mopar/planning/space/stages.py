"""Figures of groups, stage by stage: sums and maxima for each part.

A *stage* is a sharding step, computed in parallel, or a run of layers that the first part computes alone.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from mopar.planning.numbers import Floats, Indices, Mask

_LEAST = -1e15
"""Below any figure of a profile: the identity of the maximum."""


class Sum(IntEnum):
    """Figures that add up over a part's stages."""

    BILLED_MS = 0
    CALLS = 1
    RESIDENT_BYTES = 2
    FILE_BYTES = 3


class Most(IntEnum):
    """Figures of which a part's largest stage counts; ``SUMMED`` is the last layer that reads a summand of the part."""

    ACTIVE_BYTES = 0
    OVERHEAD_MIB = 1
    BODY_BYTES = 2
    SUMMED = 3


@dataclass(frozen=True, slots=True)
class Held:
    """Accumulated figures of parts, or those that a stage adds; the last axis is the part's.

    Attributes:
        latency_ms: of the group, without the last axis; infinite where it is impossible.
        sums: by ``Sum``, and part.
        most: by ``Most``, and part.
    """

    latency_ms: Floats
    sums: Floats
    most: Floats

    @classmethod
    def nothing(cls, shape: tuple[int, ...], parts: int) -> "Held":
        """Initial state: nothing reached, nothing computed."""
        return cls(np.full(shape, np.inf), *nothing(shape, parts))

    def keep(self, stop: int, row: "Held", where: Mask) -> None:
        """Copy the state at a stop for some of the starts."""
        self.latency_ms[stop, where] = row.latency_ms[where]
        self.sums[stop, where], self.most[stop, where] = row.sums[where], row.most[where]

    def by_start(self) -> "Held":
        """Transpose from stop and start to start and stop."""
        return Held(self.latency_ms.T, self.sums.swapaxes(0, 1), self.most.swapaxes(0, 1))

    def sum(self, which: Sum) -> Floats:
        """One of the sums, by part."""
        found: Floats = self.sums[..., which, :]
        return found

    def largest(self, which: Most) -> Floats:
        """One of the maxima, by part."""
        found: Floats = self.most[..., which, :]
        return found


def nothing(shape: tuple[int, ...], parts: int) -> tuple[Floats, Floats]:
    """Sums and maxima without stages."""
    return np.zeros((*shape, len(Sum), parts)), np.full((*shape, len(Most), parts), _LEAST)


@dataclass(frozen=True, slots=True)
class Stages:
    """Stages that end at one position: where each ``begins``, and its figures as a slice's first or a later stage.

    Both have equal values except for latency and what is billed.
    """

    begins: Indices
    first: Held
    later: Held

    def arrive(self, held: Held) -> tuple[Held, Indices]:
        """The fastest path to the position from every start, and which of the stages is its last."""
        reached = held.latency_ms[self.begins] + self.later.latency_ms[:, None]
        reached[np.arange(len(self.begins)), self.begins] = self.first.latency_ms
        chosen = np.argmin(reached, axis=0)
        starts = np.arange(len(chosen))
        begins = self.begins[chosen]
        # Where a stage begins, it is the slice's first.
        first = (begins == starts)[:, None, None]
        sums = np.where(first, self.first.sums[chosen], held.sums[begins, starts] + self.later.sums[chosen])
        most = np.where(first, self.first.most[chosen], np.maximum(held.most[begins, starts], self.later.most[chosen]))
        return Held(reached[chosen, starts], sums, most), chosen
