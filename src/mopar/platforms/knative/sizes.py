"""What Cloud Run sells: which memory goes with which CPU.

Sources: https://cloud.google.com/run/docs/configuring/services/memory-limits and ../cpu, read in November 2026.
"""

from mopar.types import Function, PlatformError

LEAST_MIB, MOST_MIB = 128, 32768
"""Of the first generation, which functions of less than 512 MiB run on."""
_LEAST_CPU = 0.08
_WHOLE_CPUS = (1.0, 2.0, 4.0, 6.0, 8.0)
_NEEDS_CPU = ((24576, 8.0), (16384, 6.0), (8192, 4.0), (4096, 2.0), (1024, 1.0), (512, 0.5))
"""Over so much memory, at least so much CPU."""
_NEEDS_MIB = {4.0: 2048, 6.0: 4096, 8.0: 4096}
"""With so much CPU, at least so much memory."""


def check_cloud_run(function: Function) -> None:
    """Check that Cloud Run sells a function's limits. They are not rounded: the planner does that.

    Raises:
        PlatformError: it does not; names the function, the limit and what would do.
    """
    memory, cpu = function.memory_mib, function.cpu
    if memory < LEAST_MIB or memory > MOST_MIB:
        raise _not_sold(function, f"memory is {LEAST_MIB} to {MOST_MIB} MiB there")
    if cpu < _LEAST_CPU:
        raise _not_sold(function, f"{_LEAST_CPU:g} CPU is the least there")
    if cpu > 1 and cpu not in _WHOLE_CPUS:
        raise _not_sold(function, f"over one CPU there are {', '.join(f'{size:g}' for size in _WHOLE_CPUS[1:])}")
    for over, needed in _NEEDS_CPU:
        if memory > over and cpu < needed:
            raise _not_sold(function, f"over {over} MiB needs {needed:g} CPU there")
    if memory < _NEEDS_MIB.get(cpu, 0):
        raise _not_sold(function, f"{cpu:g} CPUs need {_NEEDS_MIB[cpu]} MiB there")


def _not_sold(function: Function, why: str) -> PlatformError:
    return PlatformError(
        f"function {function.name} of {function.memory_mib} MiB and {function.cpu:g} CPU cannot run on Cloud Run: "
        f"{why}: plan with --platform cloud-run"
    )
