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
_NO_MASS = 1e-12
_ALIKE = 0.1
_NORMAL_MEDIAN = 0.6745
"""The median of the absolute values of a standard normal."""
_INDISTINCT = 1e-3
"""Resolution: what lies below this part of the largest counts as alike, as logarithms would make much of nothing."""


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

    The logarithms of both, standardised by their noise, are cut where :func:`change_points` finds their means to
    change. A layer weighs as much as the time that it takes, so that views and casts between others break no run.

    Args:
        layers: in order; at least one.
        timeline: their memory.
    """
    latency_ms = np.array([layer.latency_ms for layer in layers])
    in_need_bytes = np.array([float(point.in_need_bytes) for point in timeline])
    features = np.column_stack([_standardised(latency_ms), _standardised(in_need_bytes)])
    total_ms = float(latency_ms.sum())
    importance = latency_ms / latency_ms.mean() if total_ms > 0 else np.ones(len(layers))
    edges = [0, *change_points(features, importance, change_penalty(len(layers))), len(layers)]
    return tuple(
        LayerRun(
            start=start,
            stop=stop,
            time_share=float(latency_ms[start:stop].sum()) / total_ms if total_ms > 0 else 0.0,
            mean_ms=float(latency_ms[start:stop].mean()),
            mean_mib=float(in_need_bytes[start:stop].mean()) / _MIB,
        )
        for start, stop in pairwise(edges)
    )


def change_points(features: Floats, importance: Floats, penalty: float) -> list[int]:
    """Where the means of features change: the first row of each segment but the first.

    Of all ways to cut the rows into segments, the one with the least weighted sum of squared distances to the segments'
    means, plus ``penalty`` for each cut: found exactly, by optimal partitioning (Jackson et al. 2005). Takes time
    quadratic in the rows: 30 ms for a thousand.

    Args:
        features: a row for each point, a column for each feature.
        importance: weight of each row, 1 in the mean.
        penalty: price of a cut.
    """
    count = len(features)
    mass = _running(importance[:, None])[:, 0]
    sums = _running(features * importance[:, None])
    squares = _running((features**2).sum(axis=1, keepdims=True) * importance[:, None])[:, 0]
    best = np.zeros(count + 1)
    best[0] = -penalty
    came_from = np.zeros(count + 1, dtype=np.int64)
    for stop in range(1, count + 1):
        held = np.maximum(mass[stop] - mass[:stop], _NO_MASS)
        around_mean = squares[stop] - squares[:stop] - ((sums[stop] - sums[:stop]) ** 2).sum(axis=1) / held
        costs = best[:stop] + around_mean + penalty
        came_from[stop] = int(costs.argmin())
        best[stop] = costs[came_from[stop]]
    found = []
    start = int(came_from[count])
    while start > 0:
        found.append(start)
        start = int(came_from[start])
    return found[::-1]


def _running(rows: Floats) -> Floats:
    """Sums of the first 0, 1, 2, .. rows."""
    return np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])


def change_penalty(count: int) -> float:
    """The Bayesian information criterion's price of a change point, for two features whose noise has variance 1.

    A change point adds a place and two means, ln(count) each.
    """
    return 3.0 * math.log(count)


def _standardised(values: Floats) -> Floats:
    """Logarithms, in units of the noise between neighbours.

    The noise is estimated from the median difference of neighbours, which changes between runs do not move, and is
    at least that of layers that differ by 10%: those are alike in any case.
    """
    most = values.max()
    if most <= 0 or len(values) < 2:
        return np.zeros_like(values)
    logs = np.log(np.maximum(values, _INDISTINCT * most))
    noise = np.median(np.abs(np.diff(logs))) / (_NORMAL_MEDIAN * math.sqrt(2))
    scaled: Floats = (logs - logs.mean()) / max(noise, _ALIKE)
    return scaled
