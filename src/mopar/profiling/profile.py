"""A model's profile, assembled from what was measured of it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from mopar.graph import Cut, Layer, Model, cut_positions, layers_of
from mopar.graph.model import is_weight, name_of, reads_of
from mopar.machine import machine_facts
from mopar.profiling.cache import cached_profile, keep_profile, profile_key
from mopar.profiling.engine_runs import RunBudget, idlest_core, scratch_directory
from mopar.profiling.inputs import Array, sample_inputs
from mopar.profiling.layout import blocked_tensors, cut_overhead_ms, measure_reorders
from mopar.profiling.liveness import Step, live_bytes
from mopar.profiling.measure import Measurement, Progress, measure
from mopar.profiling.packed import stored_weights
from mopar.profiling.points import point_of
from mopar.profiling.weights import weight_profiles
from mopar.types import (
    CutPosition,
    LayerProfile,
    ModelInfo,
    Profile,
    RuntimeCosts,
    TensorProfile,
    UsageError,
    WeightProfile,
    WholeProfile,
)
from mopar.types.profile import PROFILE_SCHEMA


class FunctionProbe(Protocol):
    """What only a worker under real limits can tell."""

    def whole(self, model: Model, packed: Path, inputs: Mapping[str, Array]) -> tuple[float, float]:
        """Required memory of the whole model as one function in MiB, and its time from exec to ready in ms.

        Args:
            model: in canonical form.
            packed: its optimised, prepacked file; it is gone after the call.
            inputs: a request.
        """

    def runtime(self) -> RuntimeCosts:
        """What every function pays on this machine."""


def profile_model(
    model: Model,
    probe: FunctionProbe,
    *,
    inputs: Mapping[str, Array] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    dtypes: Mapping[str, str] | None = None,
    seed: int = 0,
    cpu: float = 1.0,
    budget: RunBudget | None = None,
    use_cache: bool = True,
    progress: Progress = lambda _stage, _fraction: None,
) -> Profile:
    """Measure a model on this machine, or give back what was measured before.

    Args:
        model: in canonical form.
        probe: measures memory and start-up.
        inputs: values of some or all inputs; the others are made.
        shapes: the point to measure, for inputs that are made.
        dtypes: what the caller expects of the inputs; checked.
        seed: of the inputs that are made.
        cpu: share of a CPU; layers are timed at a whole one.
        budget: how many runs.
        use_cache: whether an earlier profile of the same model, options and machine will do.
        progress: told what goes on.

    Raises:
        InputError: the inputs do not fit.
        EngineError: ONNX Runtime refuses the model.
        UsageError: ``cpu`` is not 1.
        ProfileError: a tensor that a plan could move was not made by the measured run.
    """
    if cpu != 1.0:
        raise UsageError(f"--cpu {cpu:g}: layers are timed at one whole CPU; choose the share in the plan")
    values, recipes = sample_inputs(model.inputs, shapes=shapes, dtypes=dtypes, seed=seed, given=inputs)
    budget = budget or RunBudget()
    machine = machine_facts()
    key = profile_key([PROFILE_SCHEMA, model.name, model.sha256, recipes, _digest(inputs or {}), cpu, budget, machine])
    if use_cache and (found := cached_profile(key)) is not None:
        progress("measured before", 1.0)
        return found
    layers = layers_of(model)
    with scratch_directory() as directory:
        measured = measure(model, layers, values, directory, budget=budget, progress=progress)
        weights = _weights(model, measured)
        cuts = _cut_positions(cut_positions(model, layers), measured, model)
        progress("measuring memory", 0.6)
        memory_mib, init_ms = probe.whole(model, measured.packed, values)
    times = measured.times
    profile = Profile(
        model=_model_info(model),
        inputs=model.inputs,
        outputs=model.outputs,
        tensors=_tensors(model, layers, cuts, measured),
        weights=weights,
        layers=_layers(model, layers, measured),
        cut_positions=cuts,
        whole=WholeProfile(times.whole_ms, times.whole_spread_ms, memory_mib, init_ms, times.unattributed_ms),
        runtime=probe.runtime(),
        recipes=recipes,
        machine=machine,
        cpu=cpu,
    )
    keep_profile(key, profile)
    progress("done", 1.0)
    return profile


def _digest(values: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(values.items()):
        digest.update(f"{name} {value.dtype} {value.shape} ".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _model_info(model: Model) -> ModelInfo:
    return ModelInfo(
        name=model.name,
        sha256=model.sha256,
        graph_sha256=model.graph_sha256,
        opset=model.opset,
        parameters=model.parameters,
        weight_bytes=model.weight_bytes,
    )


def _weights(model: Model, measured: Measurement) -> tuple[WeightProfile, ...]:
    graph = model.ir.graph
    readers: dict[str, list[str]] = {}
    for node in model.nodes:
        for value in reads_of(node, graph):
            if is_weight(value):
                readers.setdefault(name_of(value), []).append(str(node.name))
    return weight_profiles(
        _weight_bytes(model), readers, stored_weights(measured.packed), measured.kernels, measured.events
    )


def _weight_bytes(model: Model) -> dict[str, int]:
    initializers = model.ir.graph.initializers.items()
    return {name: value.const_value.nbytes for name, value in initializers if value.const_value is not None}


def _cut_positions(cuts: tuple[Cut, ...], measured: Measurement, model: Model) -> tuple[CutPosition, ...]:
    crossing = frozenset(name for cut in cuts for name in cut.tensors)
    sizes = {name: point_of(measured.points, name).bytes for name in crossing}
    makes = {str(node.name): [str(value.name) for value in node.outputs] for node in model.nodes}
    blocked = blocked_tensors(measured.packed, measured.kernels, makes, crossing)
    costs = measure_reorders(idlest_core()) if blocked else None
    return tuple(
        CutPosition(
            index=cut.index,
            tensors=cut.tensors,
            bytes=sum(sizes[name] for name in cut.tensors),
            overhead_ms=cut_overhead_ms(cut.tensors, sizes, blocked, costs) if costs else 0.0,
        )
        for cut in cuts
    )


def _tensors(
    model: Model, layers: tuple[Layer, ...], cuts: tuple[CutPosition, ...], measured: Measurement
) -> tuple[TensorProfile, ...]:
    producer = {spec.name: -1 for spec in model.inputs}
    consumers: dict[str, list[int]] = {}
    for layer in layers:
        for step in _steps(model, layer):
            producer.update(dict.fromkeys(step.makes, layer.index))
            for name in step.reads:
                consumers.setdefault(name, []).append(layer.index)
    for spec in model.outputs:
        consumers.setdefault(spec.name, []).append(len(layers))
    names = dict.fromkeys(spec.name for spec in model.inputs)
    names.update(dict.fromkeys(name for cut in cuts for name in cut.tensors))
    names.update(dict.fromkeys(spec.name for spec in model.outputs))
    found = []
    for name in names:
        point = point_of(measured.points, name)
        readers = tuple(dict.fromkeys(consumers.get(name, ())))
        found.append(TensorProfile(name, point.dtype, point.shape, point.bytes, producer[name], readers))
    return tuple(found)


def _layers(model: Model, layers: tuple[Layer, ...], measured: Measurement) -> tuple[LayerProfile, ...]:
    steps = [step for layer in layers for step in _steps(model, layer)]
    known = {name: point.bytes for name, point in measured.points.items()}
    # A sequence or an optional has no size of its own to speak of: its elements were counted as tensors.
    sizes = {name: known.get(name, 0) for step in steps for name in (*step.reads, *step.makes)} | known
    live = live_bytes(steps, sizes, [s.name for s in model.inputs], [s.name for s in model.outputs], len(layers))
    weight_bytes = _weight_bytes(model)
    times = measured.times
    return tuple(
        LayerProfile(
            index=layer.index,
            nodes=layer.nodes,
            operators=layer.operators,
            weights=layer.weights,
            latency_ms=times.latency_ms[layer.index],
            spread_ms=times.spread_ms[layer.index],
            weight_bytes=sum(weight_bytes[name] for name in layer.weights),
            activation_bytes=live[layer.index],
        )
        for layer in layers
    )


def _steps(model: Model, layer: Layer) -> list[Step]:
    graph = model.ir.graph
    return [
        Step(
            layer.index,
            node.op_type,
            tuple(name_of(value) for value in reads_of(node, graph) if not is_weight(value)),
            tuple(str(value.name) for value in node.outputs if value.name),
        )
        for node in model.nodes[layer.start : layer.stop]
    ]
