"""Label setting with bounds, for one number of functions or any.

A label is a chain that reaches a position. It is dropped when another one at the same position is at least as cheap and
as fast (dominance), or when even its best completion cannot beat the best plan known (the bounds of ``paths``).
"""

from dataclasses import dataclass

import numpy as np

from mopar.planning.numbers import Floats, Mask
from mopar.planning.policy import SolvePolicy
from mopar.planning.solve.labels import Labels, Trail
from mopar.planning.solve.paths import Bracket, CostToGo, Edge
from mopar.planning.solve.weighed import Best, Weighed


@dataclass(slots=True)
class LabelSearch:
    """The labels of one objective with one number of functions, or any."""

    weighed: Weighed
    cheapest: CostToGo
    fastest: CostToGo
    found: Bracket
    policy: SolvePolicy

    def improve(self, best: Best) -> bool:
        """Offer ``best`` all plans that may beat it; return False where there are too many labels to decide."""
        if self.found.least >= best.weight * (1 - self.policy.better):
            return True
        end, counted = self.weighed.end, self.cheapest.functions is not None
        trail = Trail()
        start = np.zeros(1, dtype=np.int64)
        waiting: list[list[Labels]] = [[] for _ in range(end + 1)]
        waiting[0] = [Labels(np.zeros(1), np.zeros(1), start, start)]
        for position in range(end):
            if not waiting[position]:
                continue
            labels = Labels.joined(waiting[position]).undominated(counted=counted)
            waiting[position] = []
            self._extend(labels, position, waiting, trail, best)
            if len(trail) > self.policy.most_labels:
                return False
        return True

    def _extend(self, labels: Labels, position: int, waiting: list[list[Labels]], trail: Trail, best: Best) -> None:
        """All extensions of a position's labels by one slice that can still lead to a better plan."""
        for used in np.unique(labels.used):
            some = labels.at(labels.used == used)
            for option, each in enumerate(self.weighed.chains.functions):
                if self.cheapest.functions is None or used + each <= self.cheapest.functions:
                    self._extend_by(some, option, int(used) + each, position, waiting, trail, best)

    def _extend_by(
        self,
        labels: Labels,
        option: int,
        used: int,
        position: int,
        waiting: list[list[Labels]],
        trail: Trail,
        best: Best,
    ) -> None:
        """Extensions of labels of one number of functions by slices of one option; ``used`` with the slice."""
        weighed, end = self.weighed, self.weighed.end
        weight = labels.weight[:, None] + weighed.weight[option, position][None, :]
        latency = labels.latency_ms[:, None] + weighed.latency[option, position][None, :]
        target, found = best.weight * (1 - self.policy.better), self.found
        good = self._beats(weight, latency, used, target)
        if found.price > 0:
            both = labels.weight + found.price * (labels.latency_ms - weighed.slo_ms)
            good &= both[:, None] + (found.to_go.weight[option, position] + found.to_go.after(used))[None, :] < target
        for stop in np.flatnonzero(good.any(axis=0)).tolist():
            made = self._along(labels.at(good[:, stop]), (option, position, stop), used, trail, best)
            if made is None:
                continue
            if stop < end:
                waiting[stop].append(made)
            else:
                cheapest = int(np.argmin(made.weight))
                best.offer(float(made.weight[cheapest]), trail.chain(int(made.number[cheapest])))

    def _along(self, labels: Labels, edge: Edge, used: int, trail: Trail, best: Best) -> Labels | None:
        """Labels of one number of functions, extended by one slice at each of its sizes."""
        weighed, (option, _, stop) = self.weighed, edge
        weight = labels.weight[:, None] + weighed.weights(edge)[None, :]
        latency = labels.latency_ms[:, None] + weighed.sizes(edge).latency_ms[None, :]
        rows, picks = np.nonzero(self._beats(weight, latency, used, best.weight * (1 - self.policy.better), stop))
        if not len(rows):
            return None
        numbers = trail.add(labels.number[rows], option, stop, picks)
        return Labels(weight[rows, picks], latency[rows, picks], np.full(len(rows), used), numbers)

    def _beats(self, weight: Floats, latency: Floats, used: int, target: float, stop: int | None = None) -> Mask:
        """Whether chains of that weight and latency can lead to a plan below ``target``, in time.

        The chains end at ``stop``, or where it is None, one column at each position.
        """
        at = slice(None) if stop is None else stop
        in_time = latency + self.fastest.after(used)[at] <= self.weighed.slo_ms
        good = in_time & (weight + self.cheapest.after(used)[at] < target)
        if self.found.price > 0:
            lateness = np.where(np.isfinite(latency), latency, 0.0) - self.weighed.slo_ms
            good &= weight + self.found.price * lateness + self.found.to_go.after(used)[at] < target
        return np.asarray(good)
