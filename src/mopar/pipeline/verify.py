"""Does a bundle answer as its model does, under its limits, and as predicted?"""

import math
from collections.abc import Sequence
from dataclasses import replace

import uvloop

from mopar.bundle import Bundle, Difference, compare_all, prepare
from mopar.files import cache_directory
from mopar.limits import why_unavailable
from mopar.measurement.policy import MEMORY
from mopar.measurement.recording import Recording, record
from mopar.pipeline.answering import Answered, Calls, Inputs, answered, calls_of, timed
from mopar.pipeline.codecs.accuracy import loss_of
from mopar.pipeline.limited import LimitedRun, PlannedLaunch, launches_of, measure_needs, run_under_limits
from mopar.pipeline.reference import ReferenceModel
from mopar.profiling import Progress
from mopar.profiling.machine_load import Watch, busy_text, is_busy
from mopar.types import Accuracy, MachineLoad
from mopar.types.reports import PredictedMeasured, Verification, VerifiedFunction

_MISS_SHARE = 0.15
"""A prediction that is further off than this is said to have missed."""


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

    Time is measured as the plan counts calls: over HTTP where it is for functions that are called so, behind an
    emulation of the network that it states. Where this machine makes no such calls, none is told.

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
    calls, served, watch = calls_of(bundle.manifest.plan), None, None
    if all(run.exit_reason is None for run in runs):
        # Before memory is measured, which takes minutes, in which a machine becomes faster or slower.
        progress("measuring latency", None)
        with Watch(None) as watch:
            served = uvloop.run(timed(bundle, requests[0], rounds, calls or Calls()))
        differences += compare_all(served.outputs, reference.infer(requests[0]))
    accuracy = _accuracy(bundle, reference, held_apart or requests, progress)
    needs = measure_needs(launches, progress) if measure_memory else [None] * len(launches)
    functions = tuple(map(_verified, launches, runs, _billed_ms(runs, launches, calls, served), needs))
    latency_ms = None if calls is None or served is None else served.latency_ms
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
            *_about_calls(calls, bundle.manifest.plan.platform),
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
    got = uvloop.run(answered(bundle, requests))
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


def _billed_ms(
    runs: Sequence[LimitedRun], launches: Sequence[PlannedLaunch], calls: Calls | None, served: Answered | None
) -> list[float | None]:
    """What a request takes of each function, called as its plan counts calls; None where it was not."""
    if calls is not None and not calls.over_http:
        return [run.billed_ms for run in runs]
    if calls is None or served is None:
        return [None] * len(runs)
    return [served.held_ms.get(launch.function.name) for launch in launches]


def _verified(
    launch: PlannedLaunch, run: LimitedRun, measured_ms: float | None, measured_mib: float | None
) -> VerifiedFunction:
    return VerifiedFunction(
        name=launch.function.name,
        predicted_mib=launch.predicted.memory_mib,
        measured_mib=measured_mib,
        limit_mib=launch.function.memory_mib,
        predicted_ms=launch.predicted.latency_ms,
        measured_ms=measured_ms,
        survived=run.survived,
        exit_reason=run.exit_reason,
    )


def _about_limits(runs: Sequence[LimitedRun], *, measured_memory: bool) -> tuple[str, ...]:
    """What is not known where limits could not be set."""
    if all(run.limited for run in runs):
        return ()
    peak = "; measured memory is the peak of resident memory" if measured_memory else ""
    return (f"functions ran without limits, so whether they survive theirs is not known{peak}: {why_unavailable()}",)


def _about_calls(calls: Calls | None, platform: str) -> tuple[str, ...]:
    """How time was measured, where that is not as this machine's platforms call functions."""
    if calls is None:
        return (f"time is not compared: it is predicted for calls of {platform} behind a network, which none here are",)
    return (f"time was measured {calls}, as planned",) if calls.over_http else ()


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
