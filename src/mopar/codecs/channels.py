"""Which axis of a tensor has its channels, whose ranges differ most from each other."""

import numpy as np
from numpy.typing import NDArray

from mopar.codecs.codec import Samples
from mopar.types import TensorSpec

_LARGEST = 1e30
_LEAST_RANK = 3
"""A matrix of one row per request has one value per channel, which is no range."""


def channel_axis(spec: TensorSpec, samples: Samples) -> int | None:
    """The axis of fixed size along which separate ranges leave the least error; None where one range does as well."""
    if spec.shape is None or len(spec.shape) < _LEAST_RANK:
        return None
    axes = [axis for axis in sorted({1, len(spec.shape) - 1}) if isinstance(spec.shape[axis], int)]
    found = {axis: _error(samples, axis) for axis in axes}
    best = min(found, key=lambda axis: found[axis], default=None)
    return None if best is None or found[best] >= _error(samples, None) else best


def is_moderate(samples: Samples) -> bool:
    """Whether all values are far from the largest of their type, which masks have."""
    return all(not sample.size or float(np.max(np.abs(sample))) <= _LARGEST for sample in samples)


def ranges(samples: Samples, axis: int | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The least and the largest value of each channel, or of all elements, in any sample; 0 is always between."""
    lows, highs = [], []
    for sample in samples:
        others = None if axis is None else tuple(other for other in range(sample.ndim) if other != axis)
        lows.append(np.min(sample, axis=others, initial=0.0))
        highs.append(np.max(sample, axis=others, initial=0.0))
    return np.min(lows, axis=0).astype(np.float32), np.max(highs, axis=0).astype(np.float32)


def rows(samples: Samples, axis: int) -> NDArray[np.float32]:
    """All elements with one row for each place and one column for each channel."""
    return np.concatenate([np.moveaxis(sample, axis, -1).reshape(-1, sample.shape[axis]) for sample in samples])


def _error(samples: Samples, axis: int | None) -> float:
    """The mean squared error of rounding, up to a factor: ranges that follow the values are small."""
    low, high = ranges(samples, axis)
    widths = high.astype(np.float64) - low
    return float(np.sum(np.square(widths)) / max(widths.size, 1))
