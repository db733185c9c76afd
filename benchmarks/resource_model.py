"""Accuracy of the resource model on models that it was not fitted to: latency and memory, unsplit and by slices.

    python -m benchmarks.resource_model [--quick] [--models NAME,..] [--no-memory] [--json FILE]
                                        [--fit FILE] [--keep FILE] [--fit-to FILE]

Each tested model is left out of the fit with all of its family, as benchmarks/architectures/families.py states them
("family out": calibration models and all other tested models; "synthetic": the calibration models alone, which is what
`mopar calibrate` gives a user). Tested: the zoo, and the architectures of
benchmarks/architectures in full size. Slices: the whole model, four uniform ones, and two (memory) or six (latency)
between random cut positions. The latency of slices is compared with the layers' times inside the whole run, that of the
whole model with a run without the profiler; memory with required memory as `verify` measures it. Measurements are
cached in .cache/resource-model by model, options and machine; remove that folder to measure again. With --fit, a model
fitted to all of them is written too, which is how src/mopar/costmodel/reference.json was made.

How good predictions are on a machine that was never calibrated: --keep on one machine writes all that was measured to a
file; --fit-to with that file on another makes each fit of it, and scales the fit by the short benchmark that `mopar
profile --predict` runs there. tools/without_avx512.py stands in for a machine with AVX2 alone.
"""

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import architectures
from benchmarks.architectures.families import family_of
from benchmarks.architectures.named import named
from benchmarks.common import error_cells, parser, say_where, table, write_raw
from mopar.costmodel.networks import synthetic
from mopar.costmodel.resource_file import encoded
from mopar.costmodel.resource_model import ResourceModel
from mopar.costmodel.samples import ModelSamples
from mopar.files import read_json, to_json, write_whole
from mopar.measurement.call_costs import runtime_costs
from mopar.pipeline.calibration.calibrate import fitted
from mopar.pipeline.calibration.corpus import Effort, measured_samples
from mopar.pipeline.calibration.scale import scale, short_benchmark
from mopar.profiling.inputs import Array
from mopar.types import MoparError, RuntimeCosts, UsageError
from tests import models as zoo

CACHE = Path(__file__).parents[1] / ".cache" / "resource-model"
ZOO = (
    "vgg16", "resnet50", "inception-v3", "efficientnet-b0", "convnext-base", "lstm-lm", "bilstm", "bert-base", "gpt2",
    "vit-b16", "dlrm", "gcn",
)  # fmt: skip
QUICK = ("resnet50", "resnet18", "mobilenet_v2", "distilbert", "bert-small", "squeezenet1_1")
SYNTHETIC, SYNTHETIC_MEMORY = 114, 38
LATENCY_GOALS, MEMORY_GOALS = (0.08, 0.20), (0.04, 0.12)
LEAST_MS = 0.02
"""A slice that takes less is within the profiler's resolution: left out, and counted."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Samples of the tested models, and of the calibration models."""

    tested: tuple[ModelSamples, ...]
    calibration: tuple[ModelSamples, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A slice, predicted by one of the fits.

    Attributes:
        model: the slice's model.
        fit: ``family out`` or ``synthetic``.
        what: ``1 thread``, ``2 threads`` or ``memory``.
        start: first layer.
        stop: one past the last.
        predicted: in ms or MiB.
        measured: the same.
    """

    model: str
    fit: str
    what: str
    start: int
    stop: int
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """Signed, relative to the measured value."""
        return self.predicted / self.measured - 1


def say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def tested(names: Sequence[str]) -> Iterator[tuple[str, Path, Mapping[str, Array]]]:
    """Each model's file and inputs; one that cannot be made is left out, with a message."""
    for name in names:
        try:
            path, inputs = named(name)
            yield name, path, inputs(0)
        except (MoparError, RuntimeError, OSError) as error:
            print(f"{name} is left out: {error}")


def measured(names: Sequence[str], runtime: RuntimeCosts, *, memory: bool) -> Iterator[ModelSamples]:
    """Samples of the tested models; one that cannot be measured is left out, with a message."""
    effort = Effort(uniform=4 if memory else 0, random=2 if memory else 0)
    for name, path, inputs in tested(names):
        try:
            one = measured_samples(path, effort, base_mib=runtime.base_mib, inputs=inputs, cache=CACHE, say=say)
        except MoparError as error:
            print(f"{name} is left out: {error}")
            continue
        say(f"{name}: {len(one.kernels)} kernels, {one.unmatched} unmatched, {len(one.memory)} slices")
        yield replace(one, family=family_of(name))


def calibration(runtime: RuntimeCosts, *, memory: bool, quick: bool) -> Iterator[ModelSamples]:
    """Samples of the calibration models."""
    count, slices = (24, 8) if quick else (SYNTHETIC, SYNTHETIC_MEMORY)
    for number, name in enumerate(itertools.islice(synthetic.names(), count)):
        own = Effort(uniform=2, random=1) if memory and number < slices else Effort(uniform=0, random=0)
        with tempfile.TemporaryDirectory(prefix="mopar-benchmark-") as folder:
            path = synthetic.write(name, Path(folder) / f"{name}.onnx")
            yield measured_samples(path, own, base_mib=runtime.base_mib, cache=CACHE, say=say)


def samples_of_all(
    names: Sequence[str], runtime: RuntimeCosts, elsewhere: Measured | None, *, quick: bool, memory: bool
) -> tuple[tuple[ModelSamples, ...], tuple[ModelSamples, ...]]:
    """Samples of the tested models, and of the calibration models unless they were measured elsewhere.

    Called without memory first: hosts change their speed in the half hour that memory takes, so all times are taken
    before, and found in the cache afterwards.
    """
    tested_ones = tuple(measured(names, runtime, memory=memory))
    return tested_ones, () if elsewhere else tuple(calibration(runtime, memory=memory, quick=quick))


def predictions(model: ModelSamples, fit: str, resources: ResourceModel) -> Iterator[Prediction]:
    """Predict every slice of a model."""
    times = resources.kernel_times([kernel.work for kernel in model.kernels], model.working_bytes)
    ones, twos = [time.one_ms for time in times], [time.two_ms for time in times]
    whole = (0, model.layers)
    timings = model.timings
    rest_ms = resources.dispatch_ms * len(ones)
    yield Prediction(model.name, fit, "1 thread", *whole, sum(ones) + rest_ms, timings.one_ms)
    if timings.two_ms is not None:
        yield Prediction(model.name, fit, "2 threads", *whole, sum(twos) + rest_ms, timings.two_ms)
    for start, stop in spans(model.layers):
        one = model.span_ms(start, stop, [kernel.one_ms for kernel in model.kernels])
        two = model.span_ms(start, stop, [kernel.two_ms or 0.0 for kernel in model.kernels])
        if one < LEAST_MS:
            continue
        yield Prediction(model.name, fit, "1 thread", start, stop, model.span_ms(start, stop, ones), one)
        if two > 0:
            yield Prediction(model.name, fit, "2 threads", start, stop, model.span_ms(start, stop, twos), two)
    for label in model.memory:
        mib = resources.memory.required_mib(label.facts, timings.base_mib)
        yield Prediction(model.name, fit, "memory", label.start, label.stop, mib, label.required_mib)


def spans(layers: int) -> list[tuple[int, int]]:
    """Four uniform slices, and six random ones."""
    edges = [layers * k // 4 for k in range(5)]
    found = [(start, stop) for start, stop in itertools.pairwise(edges) if stop > start]
    draw = np.random.default_rng(layers)
    for _ in range(6):
        start, stop = sorted(int(at) for at in draw.choice(layers + 1, 2, replace=False))
        found.append((start, stop))
    return list(dict.fromkeys(found))


def row_of(name: str, found: Sequence[Prediction]) -> tuple[str, ...]:
    """A model's row of the table: signed error of the whole, and median and worst error of its slices."""
    cells = [name]
    for fit in ("family out", "synthetic"):
        for what in ("1 thread", "2 threads", "memory"):
            errors = [one.error for one in found if one.fit == fit and one.what == what]
            if not errors:
                cells.append("")
                continue
            middle, worst = float(np.median(np.abs(errors))), max(errors, key=abs)
            cells.append(f"{errors[0]:+.0%} {middle:.0%} {worst:+.0%}")
    return tuple(cells)


def summary(found: Sequence[Prediction]) -> list[tuple[str, ...]]:
    """Median and p95 of absolute errors over all slices, against the goals."""
    rows: list[tuple[str, ...]] = []
    for what, goals in (("1 thread", LATENCY_GOALS), ("2 threads", LATENCY_GOALS), ("memory", MEMORY_GOALS)):
        for fit in ("family out", "synthetic"):
            errors = [one.error for one in found if one.what == what and one.fit == fit]
            if errors:
                rows.append((what, fit, str(len(errors)), *error_cells(errors, goals)))
    return rows


def misses(found: Sequence[Prediction]) -> list[tuple[str, ...]]:
    """Slices whose error exceeds the goal for p95, the worst first."""
    off = [one for one in found if abs(one.error) > (MEMORY_GOALS if one.what == "memory" else LATENCY_GOALS)[1]]
    return [
        (one.what, one.fit, one.model, f"{one.start}-{one.stop}", f"{one.predicted:.2f}", f"{one.measured:.2f}",
         f"{one.error:+.0%}")
        for one in sorted(off, key=lambda one: -abs(one.error))
    ]  # fmt: skip


def leave_families_out(
    models: Sequence[ModelSamples], samples: Measured, fit: Callable[[list[ModelSamples]], ResourceModel]
) -> Iterator[Prediction]:
    """Predict each model from a fit that excludes its family, and from one to calibration models alone."""
    alone = fit([*samples.calibration])
    for family in dict.fromkeys(model.family for model in models):
        say(f"fitting without {family}")
        without = fit([*samples.calibration, *(other for other in samples.tested if other.family != family)])
        for model in models:
            if model.family == family:
                yield from predictions(model, "family out", without)
                yield from predictions(model, "synthetic", alone)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", help="comma-separated; default: the zoo and all architectures")
    arguments.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}, fewer calibration models")
    arguments.add_argument("--no-memory", action="store_true", help="latency alone")
    arguments.add_argument("--fit", type=Path, metavar="FILE", help="write the model fitted to everything")
    arguments.add_argument("--keep", type=Path, metavar="FILE", help="write what was measured, for --fit-to elsewhere")
    arguments.add_argument("--fit-to", type=Path, metavar="FILE", help="kept on another machine; fits are scaled here")
    options = arguments.parse_args()
    say_where(0, "scikit-learn")
    every = [name for name in ZOO if name in zoo.MODELS] + list(architectures.FULL)
    names = options.models.split(",") if options.models else list(QUICK) if options.quick else every
    elsewhere = read_json(options.fit_to, Measured, error=UsageError) if options.fit_to else None
    runtime = runtime_costs(progress=say)
    models, others = samples_of_all(names, runtime, elsewhere, quick=options.quick, memory=False)
    short = short_benchmark(lambda stage, _share: say(stage)) if elsewhere is not None else None
    if not options.no_memory:
        models, others = samples_of_all(names, runtime, elsewhere, quick=options.quick, memory=True)
    samples = elsewhere or Measured(models, others)
    if options.keep is not None:
        write_whole(options.keep, to_json(samples))
    if options.fit is not None:
        everything = [*samples.calibration, *samples.tested]
        write_whole(options.fit, encoded(fitted(everything, everything, runtime)))
        say(f"written to {options.fit}")

    def fit(chosen: list[ModelSamples]) -> ResourceModel:
        own = fitted(chosen, chosen, runtime, errors=False)
        return own if short is None else scale(own, short)

    found = list(leave_families_out(models, samples, fit))
    columns = (
        "model",
        *(f"{fit}: {what}" for fit in ("family out", "synthetic") for what in ("1 thread", "2 threads", "memory")),
    )
    print("error of the whole, median and worst of the slices:\n")
    table(columns, [row_of(model.name, [one for one in found if one.model == model.name]) for model in models])
    table(("over all slices", "fit", "slices", "median error", "p95"), summary(found))
    missed = misses(found)
    if missed:
        print("off by more than the goal for p95:\n")
        table(("what", "fit", "model", "layers", "predicted", "measured", "error"), missed)
    timings = {"tested": [m.timings for m in models], "calibration": [m.timings for m in samples.calibration]}
    write_raw(options.json, "resource_model", {"predictions": found, **timings})


if __name__ == "__main__":
    main()
