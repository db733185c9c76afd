"""Does a bundle answer as its model does, under its limits, and as predicted?"""

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import uvloop

from mopar.bundle import Bundle, Difference, compare_all, prepare
from mopar.files import cache_directory
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.executor import Executor
from mopar.limits import why_unavailable
from mopar.measurement.policy import LATENCY, MEMORY
from mopar.measurement.recording import Recording, record
from mopar.pipeline.codecs.accuracy import loss_of
from mopar.pipeline.limited import LimitedRun, PlannedLaunch, launches_of, measure_needs, run_under_limits
from mopar.pipeline.reference import ReferenceModel
from mopar.platforms import host_platform
from mopar.profiling import Progress
from mopar.profiling.machine_load import Watch, busy_text, is_busy
from mopar.types import Accuracy, MachineLoad
from mopar.types.reports import PredictedMeasured, Verification, VerifiedFunction

_MISS_SHARE = 0.15
"""A prediction that is further off than this is said to have missed."""

Inputs = Mapping[str, Array]


def verify(
    bundle: Bundle,
    reference: ReferenceModel,
    requests: Sequence[Inputs],
    *,
    measure_memory: bool = True,
    rounds: int = MEMORY.requests,
    held_apart: Sequence[Inputs] = (),
    progress: Progress = lambda _stage, _share: None,
) -> Verification:
    """Hold a bundle against its model.

    Args:
        bundle: what was built.
        reference: what it was built from.
        requests: inputs to compare; time is measured on the first, memory on the largest.
        measure_memory: whether to search each function's required memory, independently of its limit.
        rounds: requests in a row that every function must survive under its limit.
        held_apart: inputs on which a plan's lossy codecs are measured; by default ``requests``.
        progress: called with each stage, and the share of all that is done.

    Raises:
        InputError: the model itself refuses an input.
        BundleError: its plan lacks a prediction.
        EngineError, PlatformError: a function fails even without limits.
    """
    bundle = prepare(bundle, cache_directory(), lambda text: progress(text, None))
    recordings, differences = _compared(bundle, reference, requests, progress)
    launches, runs = _limited_runs(bundle, recordings, rounds, progress)
    latency_ms, watch = None, None
    if all(run.exit_reason is None for run in runs):
        # Before memory is measured, which takes minutes, in which a machine becomes faster or slower.
        progress("measuring latency", None)
        with Watch(None) as watch:
            latency_ms, served = uvloop.run(_serve(bundle, requests[0], rounds))
        differences += compare_all(served, reference.infer(requests[0]))
    accuracy = _accuracy(bundle, reference, held_apart or requests, progress)
    needs = measure_needs(launches, progress) if measure_memory else [None] * len(launches)
    functions = tuple(map(_verified, launches, runs, needs))
    latency = PredictedMeasured(bundle.manifest.plan.predicted.latency_ms, latency_ms)
    worst = max(differences, key=lambda difference: (not difference.equal, difference.max_rel_error))
    return Verification(
        equal=worst.equal if accuracy is None else accuracy.kept,
        max_abs_error=_finite(max(difference.max_abs_error for difference in differences)),
        max_rel_error=_finite(worst.max_rel_error),
        tolerance=worst.tolerance,
        inputs=len(requests),
        functions=functions,
        latency_ms=latency,
        accuracy=accuracy,
        notes=(
            *_about_limits(runs, measured_memory=measure_memory),
            *_missed(functions, latency, 0.0 if watch is None else watch.others_busy),
        ),
    )


def _compared(
    bundle: Bundle, reference: ReferenceModel, requests: Sequence[Inputs], progress: Progress
) -> tuple[list[Recording], list[Difference]]:
    """The bundle's calls of each request, and how far each answer is from the model's."""
    recordings: list[Recording] = []
    differences: list[Difference] = []
    for number, inputs in enumerate(requests):
        progress("comparing answers", number / len(requests))
        recordings.append(record(bundle, inputs))
        differences += compare_all(recordings[-1].outputs, reference.infer(inputs))
    return recordings, differences


def _accuracy(
    bundle: Bundle, reference: ReferenceModel, requests: Sequence[Inputs], progress: Progress
) -> Accuracy | None:
    """What a bundle with lossy codecs loses; None for others."""
    planned = bundle.manifest.plan.coding
    if planned is None:
        return None
    progress("measuring accuracy", None)
    got = uvloop.run(_answers(bundle, requests))
    metric, lost = loss_of(got, [reference.infer(request) for request in requests], planned.accuracy.metric)
    return Accuracy(metric, lost, planned.accuracy.budget)


def _limited_runs(
    bundle: Bundle, recordings: Sequence[Recording], rounds: int, progress: Progress
) -> tuple[list[PlannedLaunch], list[LimitedRun]]:
    """Each function with its calls of the largest request; its time on the first, and whether it survived both."""
    largest = max(recordings, key=lambda recording: recording.bytes)
    launches = launches_of(bundle, largest)
    runs = run_under_limits(launches_of(bundle, recordings[0]), rounds, progress)
    if largest is recordings[0]:
        return launches, runs
    again = run_under_limits(launches, rounds, progress)
    both = zip(runs, again, strict=True)
    return launches, [replace(run, exit_reason=run.exit_reason or most.exit_reason) for run, most in both]


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None


def _verified(launch: PlannedLaunch, run: LimitedRun, measured_mib: float | None) -> VerifiedFunction:
    return VerifiedFunction(
        name=launch.function.name,
        predicted_mib=launch.predicted.memory_mib,
        measured_mib=measured_mib,
        limit_mib=launch.function.memory_mib,
        predicted_ms=launch.predicted.latency_ms,
        measured_ms=run.billed_ms,
        survived=run.survived,
        exit_reason=run.exit_reason,
    )


def _about_limits(runs: Sequence[LimitedRun], *, measured_memory: bool) -> tuple[str, ...]:
    """What is not known where limits could not be set."""
    if all(run.limited for run in runs):
        return ()
    peak = "; measured memory is the peak of resident memory" if measured_memory else ""
    return (f"functions ran without limits, so whether they survive theirs is not known{peak}: {why_unavailable()}",)


def _missed(functions: Sequence[VerifiedFunction], latency: PredictedMeasured, others_busy: float) -> tuple[str, ...]:
    """Predictions that missed by more than 15%, limits that are too small, and what speaks against the measurement."""
    figures = [("latency of a request", latency.predicted, latency.measured, "ms")]
    for function in functions:
        figures.append((f"memory of {function.name}", function.predicted_mib, function.measured_mib, "MiB"))
        figures.append((f"time of {function.name}", function.predicted_ms, function.measured_ms, "ms"))
    notes = [
        f"{what}: predicted {predicted:.2f} {unit}, measured {measured:.2f}, {measured / predicted - 1:+.0%}"
        for what, predicted, measured, unit in figures
        if measured is not None and predicted > 0 and abs(measured / predicted - 1) > _MISS_SHARE
    ]
    notes += [
        f"{function.name} needs {function.measured_mib:.1f} MiB, more than its limit of {function.limit_mib}: on an "
        "empty node it reads pages again and again; plan with --refine, which measures"
        for function in functions
        if function.measured_mib is not None and function.measured_mib > function.limit_mib
    ]
    load = MachineLoad(others_busy=others_busy)
    if notes and is_busy(load):
        notes.append(f"the machine was busy meanwhile ({busy_text(load)}): verify again when nothing else runs")
    return tuple(notes)


async def _answers(bundle: Bundle, requests: Sequence[Inputs]) -> list[dict[str, Array]]:
    """The answers to requests, by functions without limits."""
    found = []
    async with host_platform().start(bundle, limits=False) as deployment:
        executor = Executor(bundle.manifest, deployment.transport())
        for inputs in requests:
            values = {name: from_array(name, value) for name, value in inputs.items()}
            async with executor.infer(values, None, LATENCY.call_s) as answer:
                found.append({value.name: to_array(value).copy() for value in answer.outputs})
        await executor.close()
    return found


async def _serve(bundle: Bundle, inputs: Inputs, rounds: int) -> tuple[float, dict[str, Array]]:
    """Median latency of a request through all functions under their limits, and the answer."""
    values = {name: from_array(name, value) for name, value in inputs.items()}
    samples: list[float] = []
    answers: dict[str, Array] = {}
    least = LATENCY.settling_requests + rounds
    async with host_platform().start(bundle) as deployment:
        executor = Executor(bundle.manifest, deployment.transport())
        while len(samples) < least or (sum(samples) < LATENCY.served_ms and len(samples) < LATENCY.served_rounds):
            started = time.perf_counter()
            async with executor.infer(values, None, LATENCY.call_s) as answer:
                samples.append((time.perf_counter() - started) * 1e3)
                answers = {value.name: to_array(value).copy() for value in answer.outputs}
        await executor.close()
    return statistics.median(samples[LATENCY.settling_requests :]), answers
