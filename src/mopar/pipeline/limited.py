"""The functions of a bundle one by one: under their own limits, and what they need independently of those."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mopar.bundle import Bundle
from mopar.limits import charge_foreign, detect_cgroups
from mopar.measurement.policy import LATENCY
from mopar.measurement.recording import Recording
from mopar.measurement.required_memory import required_memory
from mopar.platforms import host_platform
from mopar.platforms.base import FunctionLaunch
from mopar.profiling import Progress
from mopar.types import BundleError, Function, MoparError, PredictedFunction

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class PlannedLaunch:
    """A function with its calls of one request, and what its plan says of it; the period of its CPU quota."""

    function: Function
    predicted: PredictedFunction
    calls: FunctionLaunch
    period_us: int


@dataclass(frozen=True, slots=True)
class LimitedRun:
    """Requests to a function under its own limit.

    Attributes:
        billed_ms: median of a request's; None where none was answered.
        exit_reason: None where every request was answered.
        limited: whether a limit was set.
    """

    billed_ms: float | None
    exit_reason: str | None
    limited: bool

    @property
    def survived(self) -> bool | None:
        """Whether every request under the limit was answered; None where all were, and there was no limit."""
        if self.exit_reason is not None:
            return False
        return True if self.limited else None


def launches_of(bundle: Bundle, recording: Recording) -> list[PlannedLaunch]:
    """Each function with its calls of a recorded request. Raises BundleError where the plan predicts nothing of one."""
    plan = bundle.manifest.plan
    predictions = {predicted.name: predicted for predicted in plan.predicted.functions}
    for function in plan.functions:
        if function.name not in predictions:
            raise BundleError(f"{bundle.root}: its plan predicts nothing of {function.name}: build the bundle again")
    return [
        PlannedLaunch(
            function,
            predictions[function.name],
            host_platform().launch(bundle, function.name, recording.calls[function.name]),
            plan.quota_period_us,
        )
        for function in plan.functions
    ]


def run_under_limits(launches: Sequence[PlannedLaunch], requests: int, progress: Progress) -> list[LimitedRun]:
    """So many requests in a row to each function under its own limit, less what it maps at the expense of others."""
    found = []
    for number, launch in enumerate(launches):
        _about(launch.function, number / len(launches), progress)("running under its limit")
        found.append(_under_limit(launch, requests))
    return found


def measure_needs(launches: Sequence[PlannedLaunch], progress: Progress) -> list[float]:
    """Required memory of each function in MiB, independently of its limit."""
    found = []
    for number, launch in enumerate(launches):
        say = _about(launch.function, number / len(launches), progress)
        found.append(required_memory(launch.calls, cpu=launch.function.cpu, progress=say).required_mib)
    return found


def _about(function: Function, share: float, progress: Progress) -> Callable[[str], None]:
    return lambda line: progress(f"{function.name}: {line}", share)


def _under_limit(launch: PlannedLaunch, requests: int) -> LimitedRun:
    function, groups = launch.function, detect_cgroups()
    samples = []
    why = None
    group = groups.create(function.name) if groups is not None else None
    try:
        if group is not None:
            group.limit(function.memory_mib * _MIB, function.cpu, launch.period_us)
        with launch.calls.start(group) as running:
            for _ in range(LATENCY.settling_requests):
                running.request()
            if group is not None:
                charge_foreign(group, running.pid)
            for _ in range(requests):
                running.request()
                samples.append(sum(timing.held_ns for timing in running.timings) / 1e6)
    except MoparError as error:
        killed = group is not None and group.oom_kills() > 0
        why = f"out of memory at {function.memory_mib} MiB" if killed else str(error)
    finally:
        if group is not None:
            group.remove()
    return LimitedRun(statistics.median(samples) if samples else None, why, limited=group is not None)
