"""A model measured inside the engine: layer times, tensor shapes, and the file that ran."""

import functools
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mopar.engine.kernel_memory import KernelMemory, kernel_memory
from mopar.engine.kernels import Kernel
from mopar.engine.timing.job import RunBudget
from mopar.engine.trace import KernelEvent
from mopar.graph import Layer, Model
from mopar.profiling.engine_runs import run_engine
from mopar.profiling.inputs import Array
from mopar.profiling.layer_times import LayerTimes, first_run, layer_times, two_threads_ratios
from mopar.profiling.machine_load import Watch, idlest_core
from mopar.profiling.points import Point, tensor_points
from mopar.profiling.prepared import ONCE, PLAIN, SOURCE, Progress, prepare
from mopar.profiling.profiler_cost import profiler_cost
from mopar.types import PACKED_OPTIONS, EngineOptions, MachineLoad

_MAX_EVENTS = 150_000
_FEWEST_RUNS = 3
_TWO = 2
_SECOND_WARM_RUNS = 2
_SECOND_SHARE = 0.4
"""Time for the runs with two threads, as a part of that for one."""
_BRIEF = RunBudget(seconds=0.5, min_runs=3, max_runs=50, warm_runs=1)
"""For other sizes than the measured point: their latency is only shown."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a run of a model showed.

    Attributes:
        times: of its layers.
        points: its tensors at the measured point, by name.
        packed: the optimised, prepacked file that ran.
        kernels: that file's outermost kernels, in the order of its nodes.
        events: one run of them, by node index.
        memory: what each of them requested, by node index; empty where nothing ran.
        two_threads: of each layer, its time with two threads over that with one; None where that was not measured, or
            where this process may use one core alone.
        load: what else the machine did while layers were timed; None where nothing was.
    """

    times: LayerTimes
    points: Mapping[str, Point]
    packed: Path
    kernels: tuple[Kernel, ...]
    events: dict[int, KernelEvent]
    memory: Mapping[int, KernelMemory] = field(default_factory=dict)
    two_threads: tuple[float, ...] | None = None
    load: MachineLoad | None = None


def measure(
    model: Model,
    layers: Sequence[Layer],
    inputs: Mapping[str, Array],
    directory: Path,
    *,
    threads: int = 1,
    core: int | None = None,
    budget: RunBudget | None = None,
    options: EngineOptions = PACKED_OPTIONS,
    two_threads: bool = False,
    progress: Progress = lambda _stage, _fraction: None,
) -> Measurement:
    """Run a model as one optimised, prepacked file, pinned to one core.

    Args:
        model: in canonical form.
        layers: of it.
        inputs: a value for each of its inputs.
        directory: keeps the files; large models need about three times their size.
        threads: of an operator.
        core: to run on; the idlest one, by default.
        budget: how many runs.
        options: of the timed sessions.
        two_threads: whether to time it with two threads too, where there are two cores: more briefly, a core for each.
        progress: called with each stage, and the share of all that is done.

    Raises:
        EngineError: ONNX Runtime refuses the model or the inputs.
    """
    core = idlest_core() if core is None and threads == 1 else core
    run = functools.partial(run_engine, inputs=inputs, specs=model.inputs, directory=directory)
    ready = prepare(model, inputs, directory, options, progress)
    progress("timing layers", 0.15)
    budget = _bounded(budget or RunBudget(), ready.events_per_run)
    with Watch(core) as watch:
        runs = run(ready.packed, options=options, budget=budget, threads=threads, core=core)
    nodes = [layer.nodes for layer in layers]
    cost = profiler_cost()
    times = layer_times(runs, ready.kernels, nodes, cost)
    ratios = None
    if two_threads and len(os.sched_getaffinity(0)) >= _TWO:
        progress("timing layers with two threads", 0.22)
        both = run(ready.packed, options=options, budget=_second(budget), threads=_TWO)
        ratios = two_threads_ratios(times, layer_times(both, ready.kernels, nodes, cost))
    return Measurement(
        times=times,
        points=ready.points,
        packed=ready.packed,
        kernels=ready.kernels,
        events=first_run(runs.trace.runs[-1]),
        memory=ready.memory,
        two_threads=ratios,
        load=MachineLoad(statistics.median(runs.lost), watch.others_busy, _spread_share(times)),
    )


def measure_size(
    model: Model,
    measured: Measurement,
    inputs: Mapping[str, Array],
    directory: Path,
    *,
    options: EngineOptions = PACKED_OPTIONS,
    core: int | None = None,
) -> tuple[Measurement, float]:
    """The model on inputs of other sizes, run a few times: its tensors, and the memory that its kernels requested.

    Args:
        model: in canonical form.
        measured: what ``measure`` found; its files are still in ``directory``.
        inputs: a value for each of the model's inputs.
        directory: as ``measure`` was given it.
        options: of the timed sessions.
        core: to run on.

    Returns:
        The measurement with the tensors of these sizes (its times are still the measured point's), and the median
        latency of a run in ms.

    Raises:
        EngineError: ONNX Runtime refuses the inputs.
    """
    run = functools.partial(run_engine, inputs=inputs, specs=model.inputs, directory=directory)
    first = run(directory / SOURCE, options=PLAIN, budget=ONCE, alternate=False)
    statistics_file = directory / "memory-of-size.csv"
    runs = run(measured.packed, options=options, budget=_BRIEF, core=core, memory_statistics=statistics_file)
    at_size = replace(
        measured,
        points=tensor_points(model, inputs, first.trace.runs[0]),
        events=first_run(runs.trace.runs[-1]),
        memory=kernel_memory(statistics_file, measured.kernels),
    )
    return at_size, statistics.median(runs.plain_ms)


def _spread_share(times: LayerTimes) -> float:
    return times.whole_spread_ms / times.whole_ms if times.whole_ms > 0 else 0.0


def _second(budget: RunBudget) -> RunBudget:
    """For the runs with two threads, which only have to tell ratios."""
    return replace(
        budget,
        seconds=_SECOND_SHARE * budget.seconds,
        min_runs=min(budget.min_runs, _FEWEST_RUNS),
        warm_runs=min(budget.warm_runs, _SECOND_WARM_RUNS),
    )


def _bounded(budget: RunBudget, events_per_run: int) -> RunBudget:
    """As many runs as the engine's profiler keeps events for (a million), and as are quickly read."""
    most = max(_FEWEST_RUNS, _MAX_EVENTS // max(events_per_run, 1))
    return replace(budget, min_runs=min(budget.min_runs, most), max_runs=min(budget.max_runs, most))
