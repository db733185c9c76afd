"""A model made ready to be timed: its optimised, prepacked file, and what writing it shows."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mopar.engine.kernel_memory import KernelMemory, kernel_memory
from mopar.engine.kernels import Kernel, attribute_kernels
from mopar.engine.packed import optimised_graph
from mopar.engine.plain import leave_plain
from mopar.engine.timing.job import RunBudget
from mopar.graph import Model, save_model
from mopar.profiling.engine_runs import run_engine
from mopar.profiling.inputs import Array
from mopar.profiling.points import Point, tensor_points
from mopar.types import EngineOptions

Progress = Callable[[str, float | None], None]
"""Called with each stage, and the share of all that is done (None: unknown)."""

SOURCE = "model.onnx"
PLAIN = EngineOptions(optimize="none", prepack=False, arena=False, memory_pattern=False)
"""The canonical graph as it is: its kernels are its nodes."""
ONCE = RunBudget(seconds=0.0, min_runs=1, max_runs=1, warm_runs=0)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model ready to be timed, and what its first two runs showed; as in ``Measurement``."""

    points: Mapping[str, Point]
    packed: Path
    kernels: tuple[Kernel, ...]
    memory: Mapping[int, KernelMemory]
    events_per_run: int


def prepare(
    model: Model, inputs: Mapping[str, Array], directory: Path, options: EngineOptions, progress: Progress
) -> Prepared:
    """Run the model once as it is, for its tensors' shapes, and once while the optimised file is written.

    Args:
        model: in canonical form.
        inputs: a value for each of its inputs.
        directory: keeps the files.
        options: of the sessions that are to be timed.
        progress: called with each stage, and the share of all that is done.

    Raises:
        EngineError: ONNX Runtime refuses the model or the inputs.
    """
    source, packed, statistics_file = directory / SOURCE, directory / "packed.onnx", directory / "memory.csv"
    run = functools.partial(run_engine, source, inputs, model.inputs, directory, budget=ONCE, alternate=False)
    progress("writing the model", None)
    save_model(model.ir, source)
    progress("reading shapes", 0.05)
    first = run(options=PLAIN)
    progress("optimising", 0.1)
    written = EngineOptions(optimize="all", prepack=options.prepack, arena=False, memory_pattern=False)
    run(options=written, write=packed, memory_statistics=statistics_file)
    leave_plain(packed)
    kernels = outermost_kernels(model, packed)
    points = tensor_points(model, inputs, first.trace.runs[0])
    memory = kernel_memory(statistics_file, kernels)
    return Prepared(points, packed, kernels, memory, first.trace.events_per_run)


def outermost_kernels(model: Model, optimised: Path) -> tuple[Kernel, ...]:
    """What each node of an optimised file computes, in the order in which a session numbers them."""
    graph = optimised_graph(optimised)
    return tuple(kernel for kernel in attribute_kernels(model.ir.graph, graph) if not kernel.nested)
