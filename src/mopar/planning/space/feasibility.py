"""Whether any plan keeps all limits; if not, the error names the limit and the nearest feasible value."""

import numpy as np

from mopar.planning.numbers import up_to
from mopar.planning.solve import bounds
from mopar.planning.space.problem import MAX_START, Problem
from mopar.types import InfeasibleError

_WORDS = {
    "memory_mib": "a function of at least {nearest:.0f} MiB is needed, the price book's largest is {value:.0f} MiB",
    "payload_bytes": "a call of at least {nearest:.0f} encoded bytes is needed, the platform takes {value:.0f}",
    "package_bytes": "a package of at least {nearest:.0f} bytes is needed, the platform takes {value:.0f}",
    MAX_START: "a start of at least {nearest:.0f} ms is needed, the longest allowed is {value:.0f} ms",
}


def least_latency_ms(problem: Problem) -> float:
    """Latency of the fastest plan within all limits. Raises InfeasibleError where there is none."""
    fewest = bounds.fewest_functions(problem.chains)
    if fewest == float("inf"):
        raise _blocked(problem)
    most = problem.chains.most_functions
    if most is not None and round(fewest) > most:
        raise InfeasibleError(
            f"max_functions {most}: at least {round(fewest)} functions are needed within the other limits",
            limit="max_functions",
            value=most,
            nearest=round(fewest),
        )
    return bounds.least_latency_ms(problem.chains)


def least_start_ms(problem: Problem) -> float:
    """The longest start of a function, in the plan where that is shortest; its slices keep all other limits."""
    allowed = problem.candidates.copy()
    for limit in problem.limits:
        allowed &= limit.kept | (limit.name == MAX_START)
    single = np.where(allowed, problem.sizes.catalog.least_start_ms(), np.inf)
    least = np.min([single, *(group.start_ms for group in problem.groups)], axis=0)
    return bounds.bottleneck(least, problem.candidates)


def require_slo(least_ms: float, slo_ms: float) -> None:
    """Raise InfeasibleError where the fastest plan, of ``least_ms``, is slower than ``slo_ms``."""
    if least_ms > up_to(slo_ms):
        raise InfeasibleError(
            f"slo_ms {slo_ms:g}: the fastest plan is expected to take {least_ms:.3f} ms",
            limit="slo_ms",
            value=slo_ms,
            nearest=least_ms,
        )


def _blocked(problem: Problem) -> InfeasibleError:
    """The error for a problem whose slices make no plan."""
    if not bounds.connected(problem.candidates):
        return InfeasibleError("the model has no cut position", limit="cut_positions", value=0, nearest=None)
    blamed = bounds.limit_to_blame(problem.candidates, problem.limits)
    name, value = blamed.limit.name, blamed.limit.value
    # Parts may start sooner than what was blamed, whose other limits need not be kept.
    nearest = min(least_start_ms(problem), blamed.nearest) if name == MAX_START else blamed.nearest
    return InfeasibleError(
        f"{name}: {_WORDS[name].format(nearest=nearest, value=value)}", limit=name, value=value, nearest=nearest
    )
