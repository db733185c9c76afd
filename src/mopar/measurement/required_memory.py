"""Required memory of a function: the smallest limit under which it serves as if there were none.

The definition is in docs/measuring.md, and why it is not a peak in docs/decisions/required-memory.md.
"""

from collections.abc import Callable

from mopar.limits import detect_cgroups, evict_files, resident_memory
from mopar.measurement.memory_search import MemoryMeasurement, MemorySearch, Probe
from mopar.measurement.policy import MEMORY, MemoryPolicy
from mopar.measurement.trial import Trial, TrialSetup
from mopar.platforms.base import FunctionLaunch

_MIB = 1 << 20


def required_memory(
    launch: FunctionLaunch,
    *,
    cpu: float,
    policy: MemoryPolicy = MEMORY,
    surplus_mib: float = 0.0,
    progress: Callable[[str], None] = lambda _: None,
) -> MemoryMeasurement:
    """Measure the required memory of a function, to the policy's resolution.

    Takes one to four runs under a limit and one or two without, as a rule.

    Args:
        launch: how the function is started and invoked.
        cpu: share of CPUs that it gets.
        policy: how the search goes.
        surplus_mib: that of a function like this one, where one was measured: where to look first.
        progress: called with a line per run.

    Raises:
        MoparError: the function fails without a limit.
    """
    groups = detect_cgroups()
    if groups is None:
        return _resident_peak(launch, policy.requests)
    return MemorySearch(TrialSetup(launch, groups, cpu, policy), progress).run(surplus_mib * _MIB)


def _resident_peak(launch: FunctionLaunch, requests: int) -> MemoryMeasurement:
    """Without cgroups: the peak of resident memory, library pages included."""
    evict_files(launch.files)
    with launch.start(None) as running:
        latencies = tuple(running.request() for _ in range(requests))
        peak_mib = resident_memory(running.pid).peak / _MIB
    trial = Trial(latencies, None, 0.0)
    return MemoryMeasurement(peak_mib, None, 0.0, peak_mib, trial.median_ms, (Probe(None, None, trial.median_ms),))
