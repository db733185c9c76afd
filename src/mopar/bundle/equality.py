"""The definition of equal outputs (docs/measuring.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

_TOLERANCES = {
    "float16": 5e-3,
    "bfloat16": 4e-2,
    "float32": 1e-4,
    "float64": 1e-4,
    "complex64": 1e-4,
    "complex128": 1e-4,
}


@dataclass(frozen=True, slots=True)
class Difference:
    """How far ``got`` is from ``want``.

    Attributes:
        name: name of the output.
        max_abs_error: largest absolute difference; infinite where shapes, types or positions of non-finite values
            differ.
        max_rel_error: ``max_abs_error`` divided by the largest absolute value of ``want``.
        tolerance: largest ``max_rel_error`` that counts as equal; 0 for integers, booleans and strings.
    """

    name: str
    max_abs_error: float
    max_rel_error: float
    tolerance: float

    @property
    def equal(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.max_rel_error <= self.tolerance


def compare(name: str, got: Array, want: Array) -> Difference:
    """The difference of one output: max |got - want| / max |want|."""
    tolerance = _TOLERANCES.get(want.dtype.name, 0.0)
    if got.shape != want.shape or got.dtype != want.dtype:
        return Difference(name, float("inf"), float("inf"), tolerance)
    if want.size == 0:
        return Difference(name, 0.0, 0.0, tolerance)
    if tolerance == 0.0:
        error = _exact_error(got, want)
        return Difference(name, error, error, tolerance)
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    got_wide, want_wide = got.astype(wide), want.astype(wide)
    finite = np.isfinite(want_wide)
    if (
        not np.array_equal(got_wide[~finite], want_wide[~finite], equal_nan=True)
        or not np.isfinite(got_wide[finite]).all()
    ):
        return Difference(name, float("inf"), float("inf"), tolerance)
    with np.errstate(over="ignore"):  # the difference of two very large numbers may overflow
        error = float(np.abs(got_wide[finite] - want_wide[finite]).max(initial=0.0))
    scale = float(np.abs(want_wide[finite]).max(initial=0.0))
    return Difference(name, error, error / scale if scale else (0.0 if error == 0.0 else float("inf")), tolerance)


def compare_all(got: Mapping[str, Array], want: Mapping[str, Array]) -> Sequence[Difference]:
    """The difference of every output in ``want``; infinite for one that is missing in ``got``."""
    return [
        compare(name, got[name], value) if name in got else _absent(name, value.dtype.name)
        for name, value in want.items()
    ]


def _absent(name: str, dtype: str) -> Difference:
    return Difference(name, float("inf"), float("inf"), _TOLERANCES.get(dtype, 0.0))


def _exact_error(got: Array, want: Array) -> float:
    """The largest difference of integers and booleans; for other types 0 where all elements are equal, else inf."""
    if want.dtype.kind in "iub":
        differ = got != want
        # Not in float64, in which adjacent integers beyond 2^53 are equal.
        pairs = zip(got[differ].tolist(), want[differ].tolist(), strict=True)
        return float(max((abs(a - b) for a, b in pairs), default=0))
    if want.dtype.kind == "O":
        return 0.0 if np.array_equal(got, want) else float("inf")
    # Floats of 8 bits or fewer are compared bit by bit, so that a NaN equals itself.
    return 0.0 if got.tobytes() == want.tobytes() else float("inf")
