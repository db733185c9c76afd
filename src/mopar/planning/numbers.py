"""Array types, and the tolerance for comparing sums of floats."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
Num = TypeVar("Num", float, Floats)
"""A number or an array of numbers: the formulas are written once for both."""

MIB = 1024.0 * 1024.0
TOLERANCE = 1e-9
"""Durations, sizes and prices are sums of floats: a value that exceeds a limit or whole unit by this share keeps it."""


def up_to(limit: float) -> float:
    """The largest value that keeps a limit."""
    return limit * (1 + TOLERANCE)
