"""Does a bundle answer as its model does, under its limits, and as predicted?"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import uvloop

from mopar.bundle import Bundle, Difference, compare_all, prepare
from mopar.files import cache_directory
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.executor import Answer, Executor
from mopar.limits import detect_cgroups
from mopar.measurement.recording import Recording, record
from mopar.measurement.required_memory import required_memory
from mopar.pipeline.reference import WholeModel
from mopar.platforms import host_platform
from mopar.platforms.base import FunctionLaunch
from mopar.profiling.load import Watch, busy_text, is_busy
from mopar.types import BundleError, Function, MachineLoad, MoparError, PredictedFunction

REQUESTS = 20
MISSED = 0.15
"""A prediction that is further off than this share is said to have missed."""
_MIB = 1 << 20
_DEADLINE_S = 300.0
_WARM_ROUNDS = 3
_LATENCY_MS, _MOST_ROUNDS = 1500.0, 100
"""The latency of a request is asked for so long: twenty quick ones would catch one mood of the machine."""

Inputs = Mapping[str, Array]
Progress = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True)
class VerifiedFunction:
    """A function, as predicted and as it is. ``why`` says what killed it where it did not survive."""

    name: str
    predicted_mib: float
    measured_mib: float | None
    limit_mib: int
    predicted_ms: float
    measured_ms: float | None
    survived: bool
    why: str | None = None


@dataclass(frozen=True, slots=True)
class PredictedMeasured:
    """A figure, as predicted and as measured; None where it could not be measured."""

    predicted: float
    measured: float | None


@dataclass(frozen=True, slots=True)
class Verification:
    """What ``mopar verify`` found.

    ``inputs`` is how many requests were compared; ``notes`` name the predictions that missed, and say so where others
    used the machine meanwhile.
    """

    equal: bool
    max_abs_error: float
    max_rel_error: float
    tolerance: float
    inputs: int
    functions: tuple[VerifiedFunction, ...]
    latency_ms: PredictedMeasured
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Equal, and every function lived under its limit."""
        return self.equal and all(function.survived for function in self.functions)


def verify(
    bundle: Bundle,
    whole: WholeModel,
    requests: Sequence[Inputs],
    *,
    measure_memory: bool = True,
    rounds: int = REQUESTS,
    progress: Progress = lambda _stage, _share: None,
) -> Verification:
    """Hold a bundle against its model.

    Args:
        bundle: what was built.
        whole: what it was built from.
        requests: inputs to compare; time is measured on the first, memory on the largest.
        measure_memory: whether to search each function's required memory, independently of its limit.
        rounds: requests in a row that every function must survive under its limit.
        progress: told what goes on.

    Raises:
        InputError: the model itself refuses an input.
        BundleError: its plan lacks a prediction.
        EngineError, PlatformError: a function fails even without limits.
    """
    bundle = prepare(bundle, cache_directory(), lambda text: progress(text, None))
    differences: list[Difference] = []
    recordings: list[Recording] = []
    for number, inputs in enumerate(requests):
        progress("comparing answers", number / len(requests))
        recordings.append(record(bundle, inputs))
        differences += compare_all(recordings[-1].outputs, whole.answer(inputs))
    largest = max(recordings, key=lambda recording: recording.bytes)
    runs = _under_limits(_launches(bundle, recordings[0]), rounds, progress)
    launches = _launches(bundle, largest)
    if largest is not recordings[0]:
        runs = [_both(run, most) for run, most in zip(runs, _under_limits(launches, rounds, progress), strict=True)]
    latency_ms, watch = None, None
    if all(run.why is None for run in runs):
        # Before memory is measured, which takes minutes, in which a machine becomes faster or slower.
        progress("measuring latency", None)
        with Watch(None) as watch:
            latency_ms, served = uvloop.run(_serve(bundle, requests[0], rounds))
        differences += compare_all(served, whole.answer(requests[0]))
    needs = _needs(launches, progress) if measure_memory else [None] * len(launches)
    functions = tuple(map(_verified, launches, runs, needs))
    latency = PredictedMeasured(bundle.manifest.plan.predicted.latency_ms, latency_ms)
    worst = max(differences, key=lambda difference: (not difference.equal, difference.max_rel_error))
    return Verification(
        equal=worst.equal,
        max_abs_error=max(difference.max_abs_error for difference in differences),
        max_rel_error=worst.max_rel_error,
        tolerance=worst.tolerance,
        inputs=len(requests),
        functions=functions,
        latency_ms=latency,
        notes=_notes(functions, latency, 0.0 if watch is None else watch.others_busy),
    )


def _notes(functions: Sequence[VerifiedFunction], latency: PredictedMeasured, others_busy: float) -> tuple[str, ...]:
    """Predictions that missed by more than 15%, and what speaks against the measurement."""
    figures = [("latency of a request", latency.predicted, latency.measured, "ms")]
    for function in functions:
        figures.append((f"memory of {function.name}", function.predicted_mib, function.measured_mib, "MiB"))
        figures.append((f"time of {function.name}", function.predicted_ms, function.measured_ms, "ms"))
    notes = [
        f"{what}: predicted {predicted:.2f} {unit}, measured {measured:.2f}, {measured / predicted - 1:+.0%}"
        for what, predicted, measured, unit in figures
        if measured is not None and predicted > 0 and abs(measured / predicted - 1) > MISSED
    ]
    load = MachineLoad(others_busy=others_busy)
    if notes and is_busy(load):
        notes.append(f"the machine was busy meanwhile ({busy_text(load)}): verify again when nothing else runs")
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class _Launch:
    """A function with its calls of one request, and what its plan says of it."""

    function: Function
    predicted: PredictedFunction
    calls: FunctionLaunch


@dataclass(frozen=True, slots=True)
class _LimitedRun:
    """Median billed ms of a request under the function's own limit, and what killed it, if anything did."""

    busy_ms: float | None
    why: str | None


def _both(run: _LimitedRun, largest: _LimitedRun) -> _LimitedRun:
    """The time of the one, and whether either of the two was killed."""
    return _LimitedRun(run.busy_ms, run.why or largest.why)


def _launches(bundle: Bundle, recording: Recording) -> list[_Launch]:
    plan = bundle.manifest.plan
    predictions = {predicted.name: predicted for predicted in plan.predicted.functions}
    for function in plan.functions:
        if function.name not in predictions:
            raise BundleError(f"{bundle.root}: its plan predicts nothing of {function.name}: build the bundle again")
    return [
        _Launch(
            function,
            predictions[function.name],
            host_platform().launch(bundle, function.name, recording.calls[function.name]),
        )
        for function in plan.functions
    ]


def _under_limits(launches: Sequence[_Launch], rounds: int, progress: Progress) -> list[_LimitedRun]:
    found = []
    for number, launch in enumerate(launches):
        _about(launch.function, number / len(launches), progress)("running under its limit")
        found.append(_under_limit(launch, rounds))
    return found


def _needs(launches: Sequence[_Launch], progress: Progress) -> list[float | None]:
    """Required memory of each function, independently of its limit."""
    found: list[float | None] = []
    for number, launch in enumerate(launches):
        say = _about(launch.function, number / len(launches), progress)
        found.append(required_memory(launch.calls, cpu=launch.function.cpu, progress=say).required_mib)
    return found


def _about(function: Function, share: float, progress: Progress) -> Callable[[str], None]:
    return lambda line: progress(f"{function.name}: {line}", share)


def _verified(launch: _Launch, run: _LimitedRun, measured_mib: float | None) -> VerifiedFunction:
    return VerifiedFunction(
        name=launch.function.name,
        predicted_mib=launch.predicted.memory_mib,
        measured_mib=measured_mib,
        limit_mib=launch.function.memory_mib,
        predicted_ms=launch.predicted.billed_ms,
        measured_ms=run.busy_ms,
        survived=run.why is None,
        why=run.why,
    )


def _under_limit(launch: _Launch, rounds: int) -> _LimitedRun:
    function, groups = launch.function, detect_cgroups()
    samples = []
    why = None
    group = groups.create(function.name) if groups is not None else None
    try:
        if group is not None:
            group.limit(function.memory_mib * _MIB, function.cpu)
        with launch.calls.start(group) as running:
            for _ in range(rounds):
                running.request()
                samples.append(sum(timing.busy_ns for timing in running.timings) / 1e6)
    except MoparError as error:
        killed = group is not None and group.oom_kills() > 0
        why = f"out of memory at {function.memory_mib} MiB" if killed else str(error)
    finally:
        if group is not None:
            group.remove()
    return _LimitedRun(statistics.median(samples) if samples else None, why)


async def _serve(bundle: Bundle, inputs: Inputs, rounds: int) -> tuple[float, dict[str, Array]]:
    """Median latency of a request through all functions under their limits, and the answer."""
    values = {name: from_array(name, value) for name, value in inputs.items()}
    samples: list[float] = []
    answers: dict[str, Array] = {}
    async with host_platform().start(bundle) as deployment:
        executor = Executor(bundle.manifest, deployment.transport())
        while len(samples) < _WARM_ROUNDS + rounds or (sum(samples) < _LATENCY_MS and len(samples) < _MOST_ROUNDS):
            started = time.perf_counter()
            async with executor.infer(values, None, _DEADLINE_S) as answer:
                samples.append((time.perf_counter() - started) * 1e3)
                answers = _copied(answer)
        await executor.close()
    return statistics.median(samples[_WARM_ROUNDS:]), answers


def _copied(answer: Answer) -> dict[str, Array]:
    return {value.name: to_array(value).copy() for value in answer.outputs}
