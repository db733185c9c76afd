"""What a cut adds by making tensors leave the engine's blocked layout.

Within a chain of convolutions ONNX Runtime keeps tensors in blocks of channels (NCHWc). A tensor that
leaves a function is in the plain layout: a cut inside such a chain makes the function before it
reorder its output, and the one after it reorder its input.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper

from mopar.engine.kernels import Kernel
from mopar.engine.timing.job import RunBudget
from mopar.graph import Model
from mopar.profiling.engine_runs import run_engine, scratch_directory
from mopar.types import EngineOptions, TensorSpec

_NCHWC = "com.microsoft.nchwc"
_INTO, _OUT_OF = "ReorderInput", "ReorderOutput"
# About the size of a boundary in the middle of a CNN; channels are a multiple of every block size.
_SHAPE = (1, 64, 112, 112)
_BYTES = 4 * 64 * 112 * 112
_US_PER_MS = 1000.0


@dataclass(frozen=True, slots=True)
class BlockedTensor:
    """A tensor of the model that the engine holds in blocks where it is not cut.

    Attributes:
        leaves: whether cutting adds a reordering out of the blocks (the whole run has none).
        enters: whether cutting adds one into them (a consumer wants blocks).
    """

    leaves: bool
    enters: bool


@dataclass(frozen=True, slots=True)
class ReorderCosts:
    """Milliseconds per byte of a reordering into blocks, and out of them."""

    into_ms_per_byte: float
    out_of_ms_per_byte: float


def blocked_tensors(model: Model, optimised: ir.Graph, kernels: Sequence[Kernel]) -> dict[str, BlockedTensor]:
    """Which tensors of a model are in the blocked layout, by name.

    Args:
        model: in canonical form.
        optimised: the engine's optimised graph of it.
        kernels: that graph's outermost kernels, in the order of its nodes.
    """
    makes = {str(node.name): [str(value.name) for value in node.outputs] for node in model.nodes}
    found = {}
    for node, kernel in zip(optimised, kernels, strict=False):
        if node.domain != _NCHWC or node.op_type in (_INTO, _OUT_OF) or not kernel.nodes:
            continue
        consumers = [consumer for value in node.outputs for consumer in value.consumers()]
        leaves = not any(consumer.op_type == _OUT_OF for consumer in consumers)
        enters = any(consumer.domain == _NCHWC and consumer.op_type != _OUT_OF for consumer in consumers)
        # What a kernel makes is made by the last node that it computes.
        found.update(dict.fromkeys(makes[kernel.nodes[-1]], BlockedTensor(leaves, enters)))
    return found


def cut_overhead_ms(
    tensors: Sequence[str], sizes: Mapping[str, int], blocked: Mapping[str, BlockedTensor], costs: ReorderCosts
) -> float:
    """What a cut across ``tensors`` adds in reorderings."""
    total = 0.0
    for name in tensors:
        if name in blocked:
            total += sizes[name] * costs.out_of_ms_per_byte * blocked[name].leaves
            total += sizes[name] * costs.into_ms_per_byte * blocked[name].enters
    return total


def measure_reorders(core: int | None) -> ReorderCosts:
    """Time a reordering each way on this machine; takes about half a second.

    Raises:
        EngineError: ONNX Runtime cannot run them.
    """
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node(_INTO, ["plain"], ["blocks"], name="into", domain=_NCHWC),
            helper.make_node(_OUT_OF, ["blocks"], ["back"], name="out", domain=_NCHWC, channels=_SHAPE[1]),
        ],
        "reorders",
        [info("plain", TensorProto.FLOAT, _SHAPE)],
        [info("back", TensorProto.FLOAT, _SHAPE)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_NCHWC, 1)]
    with scratch_directory() as directory:
        path = directory / "reorders.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
        runs = run_engine(
            path,
            {"plain": np.ones(_SHAPE, np.float32)},
            (TensorSpec("plain", "float32", _SHAPE),),
            directory,
            options=EngineOptions(optimize="none", arena=False),
            budget=RunBudget(seconds=0.2, min_runs=15, max_runs=60),
            core=core,
            alternate=False,
        )
    times: dict[str, list[int]] = {}
    for run in runs.trace.runs:
        for event in run:
            times.setdefault(event.name, []).append(event.duration_us)
    return ReorderCosts(*(statistics.median(times[name]) / _US_PER_MS / _BYTES for name in ("into", "out")))
