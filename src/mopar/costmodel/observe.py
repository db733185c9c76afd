"""The kernels of a model timed inside its whole run, beside what is known of them without running."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from mopar.costmodel.describe import Described, kernel_keys
from mopar.costmodel.function_memory import memory_facts
from mopar.costmodel.samples import KernelSample, KernelTiming, MemoryLabel, ModelSamples, Timings
from mopar.engine.packed import optimised_graph
from mopar.engine.plain import leave_plain
from mopar.engine.timing.job import RunBudget
from mopar.graph import Layer, Model, save_model
from mopar.profiling.engine_runs import EngineRuns, run_engine, scratch_directory
from mopar.profiling.inputs import Array
from mopar.profiling.layer_times import undisturbed_samples
from mopar.profiling.machine_load import idlest_core
from mopar.profiling.profiler_cost import ProfilerCost, profiler_cost
from mopar.types import PACKED_OPTIONS, EngineOptions

BUDGET = RunBudget(seconds=1.5, min_runs=9, max_runs=150, warm_runs=2)
_LOAD_ONLY = RunBudget(seconds=0.0, min_runs=0, max_runs=0, warm_runs=0)


def observe(
    model: Model, inputs: Mapping[str, Array], *, two_threads: bool = True, budget: RunBudget = BUDGET
) -> Timings:
    """Time a model's kernels with one thread (pinned to a core), and with two.

    Args:
        model: in canonical form.
        inputs: a value for each of its inputs.
        two_threads: whether two are measured as well.
        budget: how many runs, of each.

    Raises:
        EngineError: ONNX Runtime refuses the model or the inputs.
    """
    with scratch_directory() as directory:
        packed = _pack(model, inputs, directory)
        keys = kernel_keys(optimised_graph(packed))
        runs = [
            run_engine(
                packed, inputs, model.inputs, directory,
                options=PACKED_OPTIONS, budget=budget, threads=threads, core=core,
            )
            for threads, core in ((1, idlest_core()), (2, None))[: 1 + two_threads]
        ]  # fmt: skip
    times = [kernel_times(found, profiler_cost()) for found in runs]
    kernels = (
        KernelTiming(keys[index], one_ms, times[1].get(index) if two_threads else None)
        for index, one_ms in times[0].items()
        if index < len(keys)
    )
    whole = [statistics.median(found.plain_ms) for found in runs]
    return Timings(model.name, tuple(kernels), whole[0], whole[1] if two_threads else None)


def samples_of(timings: Timings, model: Model, layers: Sequence[Layer], described: Described) -> ModelSamples:
    """What was measured, beside what is known without running.

    Raises:
        ModelError: a slice that was measured cannot stand alone: the measurement is of another model.
    """
    index = {key: number for number, key in enumerate(kernel_keys(described.inferred.optimised.graph))}
    kernels = [
        KernelSample(index[timing.key], work.layer, work.work, timing.one_ms, timing.two_ms)
        for timing in timings.kernels
        if timing.key in index
        for work in (described.works[index[timing.key]],)
    ]
    return ModelSamples(
        name=timings.name,
        layers=len(layers),
        working_bytes=described.working_bytes,
        kernels=tuple(kernels),
        timings=timings,
        memory=tuple(
            MemoryLabel(
                found.start,
                found.stop,
                memory_facts(model, layers, described, found.start, found.stop),
                found.required_mib,
            )
            for found in timings.memory
        ),
        unmatched=len(timings.kernels) - len(kernels),
    )


def _pack(model: Model, inputs: Mapping[str, Array], directory: Path) -> Path:
    source, packed = directory / "model.onnx", directory / "packed.onnx"
    save_model(model.ir, source)
    load = EngineOptions(optimize="all", prepack=True, arena=False)
    run_engine(source, inputs, model.inputs, directory, options=load, budget=_LOAD_ONLY, alternate=False, write=packed)
    leave_plain(packed)
    return packed


def kernel_times(runs: EngineRuns, cost: ProfilerCost) -> dict[int, float]:
    """Median milliseconds of each node of the graph that ran, by index, less what timing it cost."""
    samples: dict[int, list[float]] = {}
    lost: dict[int, list[float]] = {}
    for events, share in zip(runs.trace.runs, runs.lost, strict=True):
        for event in events:
            samples.setdefault(event.node, []).append(cost.own_ms(event))
            lost.setdefault(event.node, []).append(share)
    return {node: statistics.median(undisturbed_samples(found, lost[node])) for node, found in samples.items()}
