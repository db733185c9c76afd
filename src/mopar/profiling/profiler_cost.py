"""What the engine's profiler adds to the kernels that it times: about a microsecond each.

Having started its clock, it writes down the shapes of a kernel's inputs. How long that takes shows on a graph of small
kernels: their durations add up to more than a whole run takes without the profiler.
"""

import functools
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from mopar.engine.timing.job import RunBudget
from mopar.engine.trace import KernelEvent
from mopar.graph import save_model
from mopar.profiling.engine_runs import run_engine, scratch_directory
from mopar.profiling.machine_load import idlest_core
from mopar.types import EngineOptions, TensorSpec

_SIZES = tuple(256 * i * i for i in range(1, 13))
"""Elements: kernels of many durations, as the profiler rounds each to whole microseconds."""
_KERNELS = 10
_FEW, _MANY = 1, 6
_BUDGET = RunBudget(seconds=0.1, min_runs=50, max_runs=200, warm_runs=5)
_AS_IT_IS = EngineOptions(optimize="none", prepack=False, arena=False, memory_pattern=False)


@dataclass(frozen=True, slots=True)
class ProfilerCost:
    """What the profiler adds to a kernel's duration: ``kernel_ms``, and ``input_ms`` for each of its inputs."""

    kernel_ms: float
    input_ms: float

    def own_ms(self, event: KernelEvent) -> float:
        """A kernel's own milliseconds."""
        return max(0.0, event.duration_ms - self.kernel_ms - self.input_ms * len(event.inputs))


@functools.cache
def profiler_cost() -> ProfilerCost:
    """Measured once in a process, in about a second.

    Raises:
        EngineError: ONNX Runtime does not run here.
    """
    few_ms, many_ms = _added_ms(_FEW), _added_ms(_MANY)
    input_ms = max(0.0, (many_ms - few_ms) / (_MANY - _FEW))
    return ProfilerCost(max(0.0, few_ms - _FEW * input_ms), input_ms)


def _added_ms(inputs: int) -> float:
    """What is added to a kernel of so many inputs, with what the engine takes between two kernels taken off."""
    specs = [TensorSpec(f"x{size}", "float32", (1, size)) for size in _SIZES]
    with scratch_directory() as directory:
        path = _write(directory / "kernels.onnx", specs, inputs)
        ones = {spec.name: np.ones((1, size), np.float32) for spec, size in zip(specs, _SIZES, strict=True)}
        runs = run_engine(path, ones, specs, directory, options=_AS_IT_IS, budget=_BUDGET, core=idlest_core())
    sums = [sum(event.duration_ms for event in run) for run in runs.trace.runs]
    return (statistics.median(sums) - statistics.median(runs.plain_ms)) / len(runs.trace.runs[0])


def _write(path: Path, specs: list[TensorSpec], inputs: int) -> Path:
    """Chains of sums, each of the one before and of the chain's input."""
    kind = ir.TensorType(ir.DataType.FLOAT)
    heads, ends, nodes = [], [], []
    for spec in specs:
        head = value = ir.Value(name=spec.name, type=kind, shape=ir.Shape(spec.shape or ()))
        for number in range(_KERNELS):
            name = f"{spec.name}_{number}"
            made = ir.Value(name=f"{name}_out", type=kind, shape=head.shape)
            nodes.append(ir.Node("", "Sum", [value, *[head] * (inputs - 1)], outputs=[made], name=name))
            value = made
        heads.append(head)
        ends.append(value)
    graph = ir.Graph(heads, ends, nodes=nodes, opset_imports={"": 17}, name="kernels")
    return save_model(ir.Model(graph, ir_version=8), path)[0]
