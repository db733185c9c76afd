"""The shipped resource model on a machine that was never calibrated: scaled by a short benchmark."""

import bisect
import contextlib
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from mopar.costmodel.networks import synthetic
from mopar.costmodel.resource_file import check_resources, encoded, read_resources
from mopar.costmodel.resource_model import ResourceModel
from mopar.costmodel.samples import KernelSample, ModelSamples
from mopar.files import cache_directory, from_json, temporary_folder, write_whole
from mopar.machine import machine_facts
from mopar.measurement.call_costs import runtime_costs
from mopar.pipeline.calibration.corpus import Effort, measured_samples
from mopar.profiling import Progress, RunBudget
from mopar.profiling.cache import cache_key
from mopar.types import ProfileError

_SECONDS = 40.0
_EFFORT = Effort(
    two_threads=False, uniform=0, random=0, budget=RunBudget(seconds=0.4, min_runs=5, max_runs=40, warm_runs=2)
)
_SHRINK_MS = 0.2
"""A family that the benchmark spends so long in is scaled half by its own factor, half by the machine's."""


def calibration_path() -> Path:
    """Where a calibration of this machine is kept."""
    return cache_directory() / "resources" / f"{cache_key(machine_facts())}.json"


def resources_here(progress: Progress = lambda _stage, _share: None) -> ResourceModel:
    """The resource model for this machine: its own calibration, else the shipped one, scaled by a benchmark.

    The scaled one is kept, so that the benchmark (at most a minute) runs once.

    Raises:
        ProfileError: the calibration that is kept is damaged, or of another version.
        EngineError, PlatformError: the benchmark cannot run.
    """
    own = calibration_path()
    if own.exists():
        return read_resources(own)
    scaled = own.with_name(f"scaled-{own.name}")
    if scaled.exists():
        with contextlib.suppress(ProfileError):  # of an older version: scaled anew
            return read_resources(scaled)
    reference = shipped_resources()
    progress("never calibrated here: scaling by a short benchmark", 0.0)
    model = scale(reference, short_benchmark(progress))
    model = replace(model, runtime=runtime_costs(progress=lambda line: progress(line, None)))
    with contextlib.suppress(OSError):  # a cache that cannot be written is none
        write_whole(scaled, encoded(model))
    return model


def shipped_resources() -> ResourceModel:
    """The resource model that comes with the package, measured on the machine that it names."""
    name = "reference.json"
    data = files("mopar.costmodel").joinpath(name).read_bytes()
    model = from_json(data, ResourceModel, what=name, error=ProfileError)
    check_resources(model, name)
    return model


def scale(reference: ResourceModel, measured: list[ModelSamples]) -> ResourceModel:
    """The same laws at this machine's speed.

    Each family's rates are multiplied by the ratio of measured to predicted time of its kernels, drawn towards the
    ratio of all kernels where the benchmark spends little time in the family. The ratio is a median in which a kernel
    counts by the square root of its time: most kernels take microseconds, which say little of the rates.

    Args:
        reference: fitted on another machine.
        measured: a few models on this one.
    """
    ratios: dict[str, list[_Ratio]] = {}
    spent_ms: dict[str, float] = {}
    for model in measured:
        predicted = reference.kernel_times([kernel.work for kernel in model.kernels], model.working_bytes)
        for kernel, time_of in zip(model.kernels, predicted, strict=True):
            ratios.setdefault(kernel.work.family, []).append(_ratio(kernel, time_of.one_ms))
            spent_ms[kernel.work.family] = spent_ms.get(kernel.work.family, 0.0) + kernel.one_ms
    overall = _median([*itertools.chain.from_iterable(ratios.values())]) if ratios else 0.0
    families = {}
    for name, family in reference.families.items():
        trust = spent_ms.get(name, 0.0) / (spent_ms.get(name, 0.0) + _SHRINK_MS)
        own = _median(ratios[name]) if name in ratios else overall
        factor = math.exp(trust * own + (1.0 - trust) * overall)
        families[name] = replace(
            family,
            flops_per_ms=family.flops_per_ms / factor,
            bytes_per_ms=family.bytes_per_ms / factor,
            fixed_ms=family.fixed_ms * factor,
            error=math.hypot(family.error, 0.5 * abs(own - overall)),
        )
    return replace(
        reference,
        families=families,
        dispatch_ms=reference.dispatch_ms * math.exp(overall),
        scaled_to=machine_facts(),
    )


@dataclass(frozen=True, slots=True, order=True)
class _Ratio:
    """The logarithm of a kernel's measured over its predicted time, and how much it counts."""

    log: float
    weight: float


def _ratio(kernel: KernelSample, predicted_ms: float) -> _Ratio:
    return _Ratio(math.log(max(kernel.one_ms, 1e-4) / max(predicted_ms, 1e-4)), math.sqrt(kernel.one_ms))


def _median(ratios: Sequence[_Ratio]) -> float:
    """The logarithm below which half of the weight is."""
    ordered = sorted(ratios)
    below = [*itertools.accumulate(ratio.weight for ratio in ordered)]
    return ordered[bisect.bisect_left(below, below[-1] / 2)].log


def short_benchmark(progress: Progress = lambda _stage, _share: None) -> list[ModelSamples]:
    """Calibration models of every kind, timed one after the other, for two thirds of a minute at most."""
    until = time.monotonic() + _SECONDS
    found: list[ModelSamples] = []
    for number, name in enumerate(itertools.islice(synthetic.names(), len(synthetic.RECIPES))):
        if found and time.monotonic() > until:
            break
        progress(f"benchmark: {name}", number / len(synthetic.RECIPES))
        with temporary_folder("mopar-scale-") as folder:
            path = synthetic.write(name, folder / f"{name}.onnx")
            found.append(measured_samples(path, _EFFORT, base_mib=0.0))
    return found
