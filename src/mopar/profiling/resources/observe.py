"""The kernels of a model timed inside its whole run, beside what is known of them without running."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from mopar.graph import Layer, Model, save_model
from mopar.profiling.engine_runs import EngineRuns, RunBudget, idlest_core, run_engine, scratch_directory
from mopar.profiling.inputs import Array
from mopar.profiling.layer_times import undisturbed_samples
from mopar.profiling.packed import optimised_graph
from mopar.profiling.resources.describe import Described, kernel_keys
from mopar.profiling.resources.samples import KernelSample, ModelSamples
from mopar.types import PACKED_OPTIONS, EngineOptions

BUDGET = RunBudget(seconds=1.5, min_runs=9, max_runs=150, warm_runs=2)
_HALF_US_MS = 0.0005
"""The profiler rounds down to microseconds: half of one is added back."""
_US_PER_MS = 1000.0
_LOAD_ONLY = RunBudget(seconds=0.0, min_runs=0, max_runs=0, warm_runs=0)


def observe(
    model: Model,
    layers: Sequence[Layer],
    inputs: Mapping[str, Array],
    described: Described,
    *,
    two_threads: bool = True,
    budget: RunBudget = BUDGET,
) -> ModelSamples:
    """Time a model's kernels with one thread (pinned to a core), and with two.

    Args:
        model: in canonical form.
        layers: of it.
        inputs: a value for each of its inputs.
        described: the model at the inputs' shapes.
        two_threads: whether two are measured as well.
        budget: how many runs, of each.

    Raises:
        EngineError: ONNX Runtime refuses the model or the inputs.
    """
    with scratch_directory() as directory:
        packed = _pack(model, inputs, directory)
        ran = kernel_keys(optimised_graph(packed))
        runs = [
            run_engine(
                packed, inputs, model.inputs, directory,
                options=PACKED_OPTIONS, budget=budget, threads=threads, core=core,
            )
            for threads, core in ((1, idlest_core()), (2, None))[: 1 + two_threads]
        ]  # fmt: skip
    times = [kernel_times(found) for found in runs]
    expected = {key: index for index, key in enumerate(kernel_keys(described.inferred.optimised.graph))}
    samples, unmatched = [], 0
    for index, one_ms in times[0].items():
        known = expected.get(ran[index]) if index < len(ran) else None
        if known is None:
            unmatched += 1
            continue
        work = described.works[known]
        two_ms = times[1].get(index) if two_threads else None
        samples.append(KernelSample(known, work.layer, work.work, one_ms, two_ms))
    return ModelSamples(
        name=model.name,
        layers=len(layers),
        working_bytes=described.working_bytes,
        kernels=tuple(samples),
        one_ms=statistics.median(runs[0].plain_ms),
        two_ms=statistics.median(runs[1].plain_ms) if two_threads else None,
        unmatched=unmatched,
    )


def _pack(model: Model, inputs: Mapping[str, Array], directory: Path) -> Path:
    source, packed = directory / "model.onnx", directory / "packed.onnx"
    save_model(model.ir, source)
    load = EngineOptions(optimize="all", prepack=True, arena=False)
    run_engine(source, inputs, model.inputs, directory, options=load, budget=_LOAD_ONLY, alternate=False, write=packed)
    return packed


def kernel_times(runs: EngineRuns) -> dict[int, float]:
    """Median milliseconds of each node of the graph that ran, by index."""
    samples: dict[int, list[float]] = {}
    lost: dict[int, list[float]] = {}
    for events, share in zip(runs.trace.runs, runs.lost, strict=True):
        for event in events:
            samples.setdefault(event.node, []).append(event.duration_us / _US_PER_MS + _HALF_US_MS)
            lost.setdefault(event.node, []).append(share)
    return {node: statistics.median(undisturbed_samples(found, lost[node])) for node, found in samples.items()}
