"""Figures of groups, stage by stage: sums and maxima for each part.

A *stage* is a sharding step, computed in parallel, or a run of layers that the first part computes alone.
"""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from mopar.planning.numbers import Floats, Indices, Mask

_LEAST = -1e15
"""Below any figure of a profile: the identity of the maximum."""


class Sum(IntEnum):
    """Figures that add up over a part's stages."""

    CALLS = 0
    RESIDENT_BYTES = 1
    FILE_BYTES = 2
    LOADING_MS = 3
    OBJECTS_USD = 4


class Most(IntEnum):
    """Figures of which a part's largest stage counts; ``SUMMED`` is the last layer that reads a summand of the part."""

    ACTIVE_BYTES = 0
    OVERHEAD_MIB = 1
    LIBRARY_MIB = 2
    BODY_BYTES = 3
    SUMMED = 4


@dataclass(frozen=True, slots=True)
class Figures:
    """Accumulated figures of parts, or those that a stage adds; the last axis is the part's.

    Attributes:
        latency_ms: of the group, without the last axis; infinite where it is impossible.
        clock_ms: from the group's start to the end of its stages, without the last axis; 0 where each stage is a call
            of its own.
        held_ms: of a part, from the group's start to the end of its last call, or of a stage, how long it takes the
            part; where each stage is a call of its own, what is billed for it.
        sums: by ``Sum``, and part.
        most: by ``Most``, and part.
    """

    latency_ms: Floats
    clock_ms: Floats
    held_ms: Floats
    sums: Floats
    most: Floats

    @classmethod
    def nothing(cls, shape: tuple[int, ...], parts: int) -> "Figures":
        """Initial state: nothing reached, nothing computed."""
        return cls(np.full(shape, np.inf), np.zeros(shape), np.zeros((*shape, parts)), *nothing(shape, parts))

    def keep(self, stop: int, row: "Figures", where: Mask) -> None:
        """Copy the state at a stop for some of the starts."""
        for column in fields(Figures):
            getattr(self, column.name)[stop, where] = getattr(row, column.name)[where]

    def by_start(self) -> "Figures":
        """Transpose from stop and start to start and stop."""
        return Figures(*(getattr(self, column.name).swapaxes(0, 1) for column in fields(Figures)))

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

    Both have equal values except for times. Where the parts ``wait`` for each other inside one call, a part is held
    from the group's start to the end of its last stage (``model.waiting``).
    """

    begins: Indices
    first: Figures
    later: Figures
    wait: bool

    def arrive(self, before: Figures) -> tuple[Figures, Indices]:
        """The fastest path to the position from every start, and which of the stages is its last."""
        reached = before.latency_ms[self.begins] + self.later.latency_ms[:, None]
        reached[np.arange(len(self.begins)), self.begins] = self.first.latency_ms
        chosen = np.argmin(reached, axis=0)
        starts = np.arange(len(chosen))
        begins = self.begins[chosen]
        # Where a stage begins, it is the slice's first.
        first = begins == starts
        clock_ms = np.where(first, 0.0, before.clock_ms[begins, starts])
        held_ms = np.where(first[:, None], 0.0, before.held_ms[begins, starts])
        adds_ms = np.where(first[:, None], self.first.held_ms[chosen], self.later.held_ms[chosen])
        calls = self.later.sums[chosen, Sum.CALLS]
        held_ms = np.where(calls > 0, (clock_ms[:, None] if self.wait else held_ms) + adds_ms, held_ms)
        clock_ms += np.where(first, self.first.clock_ms[chosen], self.later.clock_ms[chosen])
        wide = first[:, None, None]
        sums = np.where(wide, self.first.sums[chosen], before.sums[begins, starts] + self.later.sums[chosen])
        most = np.where(wide, self.first.most[chosen], np.maximum(before.most[begins, starts], self.later.most[chosen]))
        return Figures(reached[chosen, starts], clock_ms, held_ms, sums, most), chosen
