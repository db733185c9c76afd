"""What it means that answers are equal (DESIGN.md, section 8)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

_TOLERANCES = {"float16": 5e-3, "bfloat16": 4e-2, "complex64": 1e-4, "float32": 1e-4, "float64": 1e-4}


@dataclass(frozen=True, slots=True)
class Difference:
    """How far ``got`` is from ``want``.

    Attributes:
        name: the output.
        max_abs_error: largest absolute difference; infinite where shapes, types or non-finite places differ.
        max_rel_error: that, over the largest absolute value wanted.
        tolerance: largest ``max_rel_error`` that counts as equal; 0 for integers, booleans and strings.
    """

    name: str
    max_abs_error: float
    max_rel_error: float
    tolerance: float

    @property
    def equal(self) -> bool:
        """Whether the two count as the same answer."""
        return self.max_rel_error <= self.tolerance


def compare(name: str, got: Array, want: Array) -> Difference:
    """The difference of one output: max |got - want| / max |want|."""
    tolerance = _TOLERANCES.get(want.dtype.name, 0.0)
    if got.shape != want.shape or got.dtype != want.dtype:
        return Difference(name, float("inf"), float("inf"), tolerance)
    if want.size == 0:
        return Difference(name, 0.0, 0.0, tolerance)
    if tolerance == 0.0:
        error = 0.0 if np.array_equal(got, want) else _exact_error(got, want)
        return Difference(name, error, error, tolerance)
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    got_wide, want_wide = got.astype(wide), want.astype(wide)
    finite = np.isfinite(want_wide)
    if (
        not np.array_equal(got_wide[~finite], want_wide[~finite], equal_nan=True)
        or not np.isfinite(got_wide[finite]).all()
    ):
        return Difference(name, float("inf"), float("inf"), tolerance)
    error = float(np.abs(got_wide[finite] - want_wide[finite]).max(initial=0.0))
    scale = float(np.abs(want_wide[finite]).max(initial=0.0))
    return Difference(name, error, error / scale if scale else (0.0 if error == 0.0 else float("inf")), tolerance)


def compare_all(got: Mapping[str, Array], want: Mapping[str, Array]) -> Sequence[Difference]:
    """The difference of every wanted output; one that is missing is infinitely far."""
    missing = np.empty((0, 0), dtype=bool)
    return [compare(name, got.get(name, missing), value) for name, value in want.items()]


def _exact_error(got: Array, want: Array) -> float:
    if want.dtype.kind in "iub":
        return float(np.abs(got.astype(np.float64) - want.astype(np.float64)).max())
    return float("inf")
