"""Chains that reach positions, for the label-setting search: many at a time, as columns of numbers.

Arrays are used only for speed: a problem with several sizes for each slice has a million labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mopar.planning.numbers import Floats, Indices, Mask
from mopar.planning.solve.paths import Edge


@dataclass(frozen=True, slots=True)
class Labels:
    """Chains of slices that end at one position.

    Attributes:
        weight: in the objective.
        latency_ms: of the chain.
        used: functions.
        number: of each label in the ``Trail``.
    """

    weight: Floats
    latency_ms: Floats
    used: Indices
    number: Indices

    def __len__(self) -> int:
        return len(self.weight)

    @classmethod
    def joined(cls, parts: Sequence["Labels"]) -> "Labels":
        """All labels of several sets."""
        columns = ("weight", "latency_ms", "used", "number")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def at(self, kept: Indices | Mask) -> "Labels":
        """Some of the labels."""
        return Labels(self.weight[kept], self.latency_ms[kept], self.used[kept], self.number[kept])

    def undominated(self, *, counted: bool) -> "Labels":
        """Labels that no other one (of as many functions, where ``counted``) dominates in weight and latency."""
        used = self.used if counted else np.zeros_like(self.used)
        order = np.lexsort((self.weight, self.latency_ms, used))
        weight, group = self.weight[order], used[order]
        starts = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
        keep = np.zeros(len(order), dtype=bool)
        for begin, end in zip(starts, [*starts[1:], len(order)], strict=True):
            least = np.minimum.accumulate(weight[begin:end])
            keep[begin:end] = weight[begin:end] < np.append(np.inf, least[:-1])
        return self.at(order[keep])


class Trail:
    """History of each label: the label before it, and its last slice by option, position numbers and size."""

    def __init__(self) -> None:
        self._before: list[Indices] = [np.array([-1])]
        self._options: list[Indices] = [np.array([0])]
        self._stops: list[Indices] = [np.array([0])]
        self._picks: list[Indices] = [np.array([-1])]
        self._count = 1

    def __len__(self) -> int:
        return self._count

    def add(self, before: Indices, option: int, stop: int, picks: Indices) -> Indices:
        """Return numbers for new labels that end at ``stop``."""
        self._before.append(before)
        self._options.append(np.full(len(before), option))
        self._stops.append(np.full(len(before), stop))
        self._picks.append(picks)
        first, self._count = self._count, self._count + len(before)
        return np.arange(first, self._count)

    def chain(self, number: int) -> list[tuple[Edge, int]]:
        """A label's slices, each with the number of its size, first to last."""
        columns = (self._before, self._options, self._stops, self._picks)
        before, options, stops, picks = (np.concatenate(column) for column in columns)
        found: list[tuple[Edge, int]] = []
        while number > 0:
            earlier = int(before[number])
            found.append(((int(options[number]), int(stops[earlier]), int(stops[number])), int(picks[number])))
            number = earlier
        return found[::-1]
