"""Which cores the functions of a plan run on, where that is not left to the scheduler."""

from mopar.runtime.threads import shares_of_cores
from mopar.types import Plan


def cores_of_parts(plan: Plan, cores: set[int]) -> dict[str, tuple[int, ...]]:
    """Parallel parts of a slice -> the cores of each, so that no two parts share one while there are enough.

    The scheduler alone would let them share one for long (docs/decisions/waiting-by-flags.md).
    """
    parts = {graph.id: graph.part for graph in plan.graphs if graph.part is not None}
    found = {}
    for function in plan.functions:
        part = next((parts[name] for name in function.graphs if name in parts), None)
        shares = shares_of_cores(cores, min(part.count, len(cores))) if part is not None else []
        if part is not None and shares:
            found[function.name] = tuple(shares[part.index % len(shares)])
    return found
