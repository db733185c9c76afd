"""A profile without running the model: from its nodes, their shapes, and a fitted resource model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import onnx
import onnx_ir as ir

from mopar.costmodel.describe import Described, describe
from mopar.costmodel.function_memory import memory_facts
from mopar.costmodel.resource_model import KernelTime, ResourceModel, layer_sums
from mopar.engine.work.facts import NodeFacts, TensorFacts
from mopar.engine.work.families import work_of
from mopar.graph import Layer, Model, layers_of
from mopar.profiling.compose import compose
from mopar.profiling.engine_profile import FunctionMemory, completed
from mopar.profiling.engine_runs import scratch_directory
from mopar.profiling.entries import cuts_of
from mopar.profiling.input_sizes import Shapes
from mopar.profiling.inputs import Array
from mopar.profiling.layer_times import LayerTimes
from mopar.profiling.layout import ReorderCosts
from mopar.profiling.measure import Measurement
from mopar.profiling.prepared import Progress
from mopar.profiling.profile_request import profile_request
from mopar.profiling.size_points import SizedRun, run_sizes
from mopar.shapes import ShapeLike
from mopar.types import CutPosition, MemorySample, Profile

_IQR_PER_SIGMA = 1.349
"""Distance between the quartiles of a normal distribution, in standard deviations."""
_SAMPLES = 4
_SHAPE = (1, 64, 112, 112)
_NCHWC = "com.microsoft.nchwc"


def predict_profile(
    model: Model,
    resources: ResourceModel,
    *,
    inputs: Mapping[str, Array] | None = None,
    shapes: Mapping[str, ShapeLike] | None = None,
    dtypes: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: Progress = lambda _stage, _fraction: None,
) -> Profile:
    """The profile that measuring a model at one thread is expected to give.

    ``spread_ms`` of a layer is the distance between the quartiles of what it may take: the error of the model's
    predictions on models that it was not fitted to.

    Args:
        model: in canonical form.
        resources: fitted on this machine, or scaled to it.
        inputs: values of some or all inputs, of which only the shapes count.
        shapes: the point to predict at, or the range that must be answered; see ``profile_request``.
        dtypes: what the caller expects of the inputs; checked.
        seed: as a measured profile would note it.
        progress: called with each stage, and the share of all that is done.

    Raises:
        InputError: the inputs do not fit.
        ModelError: the engine refuses the model.
    """
    request = profile_request(model, inputs=inputs, shapes=shapes, dtypes=dtypes, seed=seed)
    sizes = request.sizes
    layers = layers_of(model)
    progress("reading shapes", 0.3)
    described = describe(model, layers, sizes.point)
    most = described if sizes.largest == sizes.point else describe(model, layers, sizes.largest)
    progress("predicting", 0.6)
    predicted = resources.kernel_times([kernel.work for kernel in described.works], described.working_bytes)
    times = _layer_times(described, predicted, len(layers), resources.dispatch_ms)
    with scratch_directory() as directory:
        measured = _as_measured(described, times, _ratios(described, predicted, len(layers)), directory)
        cuts = cuts_of(model, layers, measured, _reorder_costs(resources))

        def at_size(shapes: Shapes) -> SizedRun:
            there = most if shapes == sizes.largest else describe(model, layers, shapes)
            return SizedRun(shapes, replace(measured, points=there.inferred.points), _whole_ms(there, resources))

        engine = compose(
            model,
            layers,
            measured,
            cuts,
            recipes=request.recipes,
            ranges=sizes.ranges,
            stored=described.stored,
            sized=run_sizes(sizes, at_size),
            source="predicted",
            assumed=described.inferred.assumed,
        )
    progress("done", 1.0)
    return completed(engine, resources.runtime, _function_memory(model, layers, most, cuts, resources))


def _whole_ms(described: Described, resources: ResourceModel) -> float:
    """Of a run of the whole model."""
    predicted = resources.kernel_times([kernel.work for kernel in described.works], described.working_bytes)
    return sum(time.one_ms for time in predicted) + resources.dispatch_ms * len(predicted)


def _layer_times(described: Described, predicted: Sequence[KernelTime], layers: int, dispatch_ms: float) -> LayerTimes:
    one_ms = layer_sums(described.works, [time.one_ms for time in predicted], layers)
    spread_ms = layer_sums(described.works, [_IQR_PER_SIGMA * time.error * time.one_ms for time in predicted], layers)
    whole_ms = sum(time.one_ms for time in predicted) + dispatch_ms * len(predicted)
    return LayerTimes(
        latency_ms=tuple(one_ms),
        spread_ms=tuple(spread_ms),
        whole_ms=whole_ms,
        whole_spread_ms=_whole_spread_ms(described, predicted),
        profiled_ms=whole_ms,
        layout_ms=(0.0,) * layers,
        runs=0,
        disturbed=0,
    )


def _whole_spread_ms(described: Described, predicted: Sequence[KernelTime]) -> float:
    """Kernels of one family are taken to err in the same direction: their errors add up, those of families do not."""
    by_family: dict[str, float] = {}
    for work, time in zip(described.works, predicted, strict=True):
        family = work.work.family
        by_family[family] = by_family.get(family, 0.0) + _IQR_PER_SIGMA * time.error * time.one_ms
    return math.hypot(*by_family.values())


def _ratios(described: Described, predicted: Sequence[KernelTime], layers: int) -> tuple[float, ...]:
    """Of each layer, the time with two threads over that with one."""
    one_ms = layer_sums(described.works, [time.one_ms for time in predicted], layers)
    two_ms = layer_sums(described.works, [time.two_ms for time in predicted], layers)
    return tuple(two / one if one > 0 else 1.0 for one, two in zip(one_ms, two_ms, strict=True))


def _as_measured(
    described: Described, times: LayerTimes, two_threads: tuple[float, ...], directory: Path
) -> Measurement:
    """What the parts of a profile are read off, its optimised file without weights."""
    path = directory / "optimised.onnx"
    onnx.save(ir.to_proto(described.inferred.optimised), path)
    return Measurement(times, described.inferred.points, path, described.kernels, {}, two_threads=two_threads)


def _reorder_costs(resources: ResourceModel) -> ReorderCosts:
    """What changing to and from the blocked layout costs, of a tensor of about a usual size."""
    tensor = TensorFacts(_SHAPE)
    works = [
        work_of(NodeFacts(operator, _NCHWC, (tensor,), (tensor,))) for operator in ("ReorderInput", "ReorderOutput")
    ]
    into, out_of = resources.kernel_times(works, 0.0)
    return ReorderCosts(into.one_ms / tensor.bytes, out_of.one_ms / tensor.bytes)


def _function_memory(
    model: Model, layers: Sequence[Layer], described: Described, cuts: Sequence[CutPosition], resources: ResourceModel
) -> FunctionMemory:
    """Of the whole, and of slices of about equal numbers of layers, from which a planner tells that of others."""

    def required_mib(start: int, stop: int) -> float:
        facts = memory_facts(model, layers, described, start, stop)
        return resources.memory.required_mib(facts, resources.runtime.base_mib)

    positions = [cut.index for cut in cuts]
    wanted = {len(layers) * k // _SAMPLES for k in range(1, _SAMPLES)}
    inner = {min(positions, key=lambda at: abs(at - want)) for want in wanted if positions}
    edges = [0, *sorted(inner), len(layers)]
    spans = pairwise(edges) if inner else ()
    return FunctionMemory(
        whole_mib=required_mib(0, len(layers)),
        init_ms=resources.runtime.init_ms,
        samples=tuple(MemorySample(start, stop, required_mib(start, stop)) for start, stop in spans),
    )
