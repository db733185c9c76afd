"""Arrays, and how closely sums of floats are compared."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
Num = TypeVar("Num", float, Floats)
"""A number or an array of numbers: the arithmetic is written once for both."""

MIB = 1024.0 * 1024.0
TOLERANCE = 1e-9
"""Durations, sizes and prices are sums of floats: what exceeds a limit, or a whole unit, by this share keeps it."""


def up_to(limit: float) -> float:
    """The most that keeps a limit."""
    return limit * (1 + TOLERANCE)
