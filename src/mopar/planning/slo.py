"""The default limit on a plan's latency."""

from math import ceil, isfinite
from typing import Literal

from mopar.planning.space.feasibility import least_latency_ms
from mopar.planning.space.problem import Problem
from mopar.types import UsageError

Slo = float | None | Literal["default"]

SLO_SLACK = 1.03
"""The default SLO of a cost plan, as a multiple of the fastest unsplit function's latency."""


def resolved_slo(slo_ms: Slo, reference: Problem | None) -> float | None:
    """The SLO as a number, if there is one; the default is relative to the fastest plan of ``reference``.

    Raises:
        UsageError: it is neither over 0 nor ``default``.
    """
    if isinstance(slo_ms, str):
        if slo_ms != "default":
            raise UsageError(f"slo_ms {slo_ms!r}: give a number of ms, None or 'default'")
        return None if reference is None else default_slo(least_latency_ms(reference))
    if slo_ms is not None and not (slo_ms > 0 and isfinite(slo_ms)):
        raise UsageError(f"slo_ms {slo_ms:g}: must be over 0")
    return slo_ms


def default_slo(fastest_ms: float) -> float:
    """The default SLO, rounded up to a whole microsecond for display."""
    return ceil(1000 * SLO_SLACK * fastest_ms) / 1000
