"""What a profile's layers show together: memory swing, runs of like layers, resource-dominant operators."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mopar.profiling.patterns_operators import operator_shares
from mopar.profiling.timeline import global_differences, memory_timeline
from mopar.types import LayerProfile, LayerRun, MemoryPoint, Patterns, WeightProfile

Floats = npt.NDArray[np.float64]

_MIB = 1 << 20
_INDISTINCT = 1e-3
"""What lies below this part of the largest is not told apart: logarithms would make much of nothing."""


def patterns_of(layers: Sequence[LayerProfile], weights: Sequence[WeightProfile], operators: Sequence[str]) -> Patterns:
    """The patterns of a profile's layers.

    Args:
        layers: in order; at least one.
        weights: of the model.
        operators: for each layer, the operator type that does its work.
    """
    timeline = memory_timeline(layers, weights)
    return Patterns(
        timeline=timeline,
        differences=global_differences(timeline, [layer.latency_ms for layer in layers]),
        runs=layer_runs(layers, timeline),
        operators=operator_shares(layers, timeline, weights, operators),
    )


def layer_runs(layers: Sequence[LayerProfile], timeline: Sequence[MemoryPoint]) -> tuple[LayerRun, ...]:
    """Runs of neighbouring layers that are alike in time and memory in need.

    Two features of each layer, the logarithms of both, standardised, are cut where :func:`change_points` finds their
    means to change.

    Args:
        layers: in order; at least one.
        timeline: their memory.
    """
    latency_ms = [layer.latency_ms for layer in layers]
    in_need_bytes = [float(point.in_need_bytes) for point in timeline]
    features = np.column_stack([_standardised(latency_ms), _standardised(in_need_bytes)])
    edges = [0, *change_points(features, change_penalty(len(layers))), len(layers)]
    total_ms = sum(latency_ms)
    runs = []
    for start, stop in pairwise(edges):
        spent_ms = sum(latency_ms[start:stop])
        runs.append(
            LayerRun(
                start=start,
                stop=stop,
                time_share=spent_ms / total_ms if total_ms > 0 else 0.0,
                mean_ms=spent_ms / (stop - start),
                mean_mib=sum(in_need_bytes[start:stop]) / (stop - start) / _MIB,
            )
        )
    return tuple(runs)


def change_points(features: Floats, penalty: float) -> list[int]:
    """Where the means of features change: the first row of each segment but the first.

    Of all ways to cut the rows into segments, the one with the least sum of squared distances to the segments' means,
    plus ``penalty`` for each cut: found exactly, by optimal partitioning (Jackson et al. 2005). Takes time quadratic in
    the rows: 30 ms for a thousand.

    Args:
        features: a row for each point, a column for each feature.
        penalty: price of a cut.
    """
    count = len(features)
    sums = np.concatenate([np.zeros((1, features.shape[1])), np.cumsum(features, axis=0)])
    squares = np.concatenate([[0.0], np.cumsum((features**2).sum(axis=1))])
    best = np.zeros(count + 1)
    best[0] = -penalty
    came_from = np.zeros(count + 1, dtype=np.int64)
    for stop in range(1, count + 1):
        lengths = np.arange(stop, 0, -1)
        around_mean = squares[stop] - squares[:stop] - ((sums[stop] - sums[:stop]) ** 2).sum(axis=1) / lengths
        costs = best[:stop] + around_mean + penalty
        came_from[stop] = int(costs.argmin())
        best[stop] = costs[came_from[stop]]
    found = []
    start = int(came_from[count])
    while start > 0:
        found.append(start)
        start = int(came_from[start])
    return found[::-1]


def change_penalty(count: int) -> float:
    """The Bayesian information criterion's price of a change point, for features of variance 1 at most.

    A change point adds a place and two means, ln(count) each. The variance within runs is not known; that of the
    features themselves, 1, bounds it: a change point has to earn more than noise of their own size could give.
    """
    return 3.0 * math.log(count)


def _standardised(values: Sequence[float]) -> Floats:
    """Logarithms with mean 0 and variance 1; zeros where all are alike."""
    array = np.asarray(values, dtype=np.float64)
    most = array.max()
    if most <= 0:
        return np.zeros_like(array)
    logs = np.log(np.maximum(array, _INDISTINCT * most))
    spread = logs.std()
    centred: Floats = logs - logs.mean()
    return centred / spread if spread > 1e-9 else np.zeros_like(array)
