"""Whether any plan keeps all limits, and if not, which limit is hit and what value would do."""

from typing import NoReturn

import numpy as np

from mopar.planning.arithmetic import Floats
from mopar.planning.paths import to_go
from mopar.planning.problem import Mask, Problem, SliceLimit
from mopar.types import InfeasibleError

_HAIR = 1e-9
_WORDS = {
    "memory_mib": "a function of at least {nearest:.0f} MiB is needed, the price book's largest is {value:.0f} MiB",
    "payload_bytes": "a call of at least {nearest:.0f} encoded bytes is needed, the platform takes {value:.0f}",
    "package_bytes": "a package of at least {nearest:.0f} bytes is needed, the platform takes {value:.0f}",
}


def least_latency_ms(problem: Problem) -> float:
    """Of the fastest plan within all limits. Raises InfeasibleError where there is none."""
    _require_slices(problem)
    most = problem.max_functions
    fewest = _fewest(problem)
    if most is not None and fewest > most:
        raise InfeasibleError(
            f"max_functions {most}: at least {fewest} functions are needed within the other limits",
            limit="max_functions",
            value=most,
            nearest=fewest,
        )
    latencies, each = problem.latencies_ms, problem.each
    free = to_go(latencies, None, each)
    if most is None or sum(each[way] for way, _, _ in free.path()) <= most:
        return free.least
    return float(np.min(to_go(latencies, most, each).rows[:, 0]))


def require_slo(least_ms: float, slo_ms: float) -> None:
    """Raise InfeasibleError where the fastest plan, of ``least_ms``, is slower than ``slo_ms``."""
    if least_ms > slo_ms * (1 + _HAIR):
        raise InfeasibleError(
            f"slo_ms {slo_ms:g}: the fastest plan is expected to take {least_ms:.3f} ms",
            limit="slo_ms",
            value=slo_ms,
            nearest=least_ms,
        )


def _fewest(problem: Problem) -> int:
    return round(to_go(_functions(problem), None, problem.each).least)


def _functions(problem: Problem) -> Floats:
    """How many functions each slice is, in each way that is allowed."""
    each = np.array(problem.each, dtype=np.float64)[:, None, None]
    return np.where(np.isfinite(problem.latencies_ms), each, np.inf)


def _require_slices(problem: Problem) -> None:
    if _connected(problem.allowed) or np.isfinite(to_go(_functions(problem), None, problem.each).least):
        return
    if not _connected(problem.candidates):
        raise InfeasibleError("the model has no cut position", limit="cut_positions", value=0, nearest=None)
    # The limit to blame is one whose lifting alone would do; failing that, limits are lifted one after another.
    limits = problem.limits
    alone = [(limit, [other for other in limits if other is not limit]) for limit in limits]
    in_turn = [(limit, list(limits[number + 1 :])) for number, limit in enumerate(limits)]
    for limit, others in [*alone, *in_turn]:
        rest = problem.candidates.copy()
        for other in others:
            rest &= other.quantity <= other.value
        if _connected(rest):
            _blame(limit, _bottleneck(limit.quantity, rest))
    raise AssertionError("slices without any limit make a path")


def _blame(limit: SliceLimit, nearest: float) -> NoReturn:
    raise InfeasibleError(
        f"{limit.name}: {_WORDS[limit.name].format(nearest=nearest, value=limit.value)}",
        limit=limit.name,
        value=limit.value,
        nearest=nearest,
    )


def _connected(allowed: Mask) -> bool:
    return bool(np.isfinite(to_go(np.where(allowed, 1.0, np.inf), None).least))


def _bottleneck(quantity: Floats, allowed: Mask) -> float:
    """The least value of the largest quantity along a path."""
    least = np.full(len(quantity), np.inf)
    least[-1] = 0.0
    usable = np.where(allowed, quantity, np.inf)
    for position in range(len(quantity) - 2, -1, -1):
        least[position] = np.min(np.maximum(usable[position, position + 1 :], least[position + 1 :]))
    return float(least[0])
