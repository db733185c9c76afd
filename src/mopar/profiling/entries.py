"""The parts of a profile: what was measured, in the terms that the planner reads."""

from collections.abc import Sequence

from mopar.engine.packed import StoredWeight, optimised_graph, stored_weights
from mopar.graph import Layer, Model, cut_positions
from mopar.nodes import is_weight, name_of, reads_of
from mopar.profiling.layer_times import layers_of_kernels
from mopar.profiling.layout import ReorderCosts, blocked_tensors, cut_overhead_ms, measure_reorders
from mopar.profiling.liveness import Operation, live_bytes
from mopar.profiling.liveness_kernels import EngineRun, kernel_live_bytes
from mopar.profiling.machine_load import idlest_core
from mopar.profiling.measure import Measurement
from mopar.profiling.points import point_of
from mopar.profiling.weights import weight_profiles
from mopar.types import CutPosition, LayerProfile, ModelInfo, TensorProfile, WeightProfile


def model_info(model: Model) -> ModelInfo:
    """The model's identity."""
    return ModelInfo(
        name=model.name,
        sha256=model.sha256,
        graph_sha256=model.graph_sha256,
        opset=model.opset,
        parameters=model.parameters,
        weight_bytes=model.weight_bytes,
    )


def weights_of(
    model: Model, measured: Measurement, stored: Sequence[StoredWeight] | None = None
) -> tuple[WeightProfile, ...]:
    """Each weight in the built file and in memory: as ``stored``, or as the packed file of the measured run has it."""
    graph = model.ir.graph
    readers: dict[str, list[str]] = {}
    for node in model.nodes:
        for value in reads_of(node, graph):
            if is_weight(value):
                readers.setdefault(name_of(value), []).append(str(node.name))
    stored = stored_weights(measured.packed) if stored is None else stored
    return weight_profiles(_weight_bytes(model), readers, stored, measured.kernels)


def _weight_bytes(model: Model) -> dict[str, int]:
    initializers = model.ir.graph.initializers.items()
    return {name: value.const_value.nbytes for name, value in initializers if value.const_value is not None}


def cuts_of(
    model: Model, layers: tuple[Layer, ...], measured: Measurement, costs: ReorderCosts | None = None
) -> tuple[CutPosition, ...]:
    """Where the model can be cut, and what crosses there; ``costs`` are measured where they are not given."""
    cuts = cut_positions(model, layers)
    crossing = frozenset(name for cut in cuts for name in cut.tensors)
    sizes = {name: point_of(measured.points, name).bytes for name in crossing}
    blocked = blocked_tensors(model, optimised_graph(measured.packed), measured.kernels)
    if blocked.keys() & crossing and costs is None:
        costs = measure_reorders(idlest_core())
    return tuple(
        CutPosition(
            index=cut.index,
            tensors=cut.tensors,
            bytes=sum(sizes[name] for name in cut.tensors),
            overhead_ms=cut_overhead_ms(cut.tensors, sizes, blocked, costs) if costs else 0.0,
        )
        for cut in cuts
    )


def tensors_of(
    model: Model, layers: tuple[Layer, ...], cuts: tuple[CutPosition, ...], measured: Measurement
) -> tuple[TensorProfile, ...]:
    """Inputs of the model, what crosses cut positions, and outputs; each once, in this order."""
    producer = {spec.name: -1 for spec in model.inputs}
    consumers: dict[str, list[int]] = {}
    for layer in layers:
        for operation in operations_of(model, layer):
            producer.update(dict.fromkeys(operation.makes, layer.index))
            for name in operation.reads:
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


def layer_profiles(
    model: Model, layers: tuple[Layer, ...], measured: Measurement, two_threads: Sequence[float] | None = None
) -> tuple[LayerProfile, ...]:
    """Each layer's time, weights, live activations and workspace.

    Args:
        model: in canonical form.
        layers: of it.
        measured: what running it told.
        two_threads: of each layer, its time with two threads over that with one, where it is known.
    """
    live = _live_bytes(model, layers, measured)
    weight_bytes = _weight_bytes(model)
    times = measured.times
    workspace = _workspace(measured, layers)
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
            workspace_bytes=workspace[layer.index],
            two_threads=None if two_threads is None else two_threads[layer.index],
        )
        for layer in layers
    )


def _live_bytes(model: Model, layers: Sequence[Layer], measured: Measurement) -> list[int]:
    """Of each layer, the most that is live while one of its kernels runs.

    Where nothing ran, and for layers that have no kernel of their own, by the canonical graph.
    """
    operations = [operation for layer in layers for operation in operations_of(model, layer)]
    known = {name: point.bytes for name, point in measured.points.items()}
    # A sequence or an optional has no size of its own to speak of: its elements were counted as tensors.
    sizes = {name: known.get(name, 0) for operation in operations for name in operation.names} | known
    inputs, outputs = [spec.name for spec in model.inputs], [spec.name for spec in model.outputs]
    canonical = live_bytes(operations, sizes, inputs, outputs, len(layers))
    if not measured.events:
        return list(canonical)
    run = EngineRun(optimised_graph(measured.packed), measured.events, measured.memory)
    live = kernel_live_bytes(run, known)
    by_layer: dict[int, int] = {}
    for kernel, layer in layers_of_kernels(measured.kernels, [layer.nodes for layer in layers]).items():
        if kernel in live:
            by_layer[layer] = max(by_layer.get(layer, 0), live[kernel])
    return [by_layer.get(index, held) for index, held in enumerate(canonical)]


def _workspace(measured: Measurement, layers: Sequence[Layer]) -> list[int]:
    """Of each layer, the most that one of its kernels asked for: they run one after the other."""
    found = [0] * len(layers)
    for kernel, layer in layers_of_kernels(measured.kernels, [layer.nodes for layer in layers]).items():
        memory = measured.memory.get(kernel)
        found[layer] = max(found[layer], memory.workspace_bytes if memory else 0)
    return found


def operations_of(model: Model, layer: Layer) -> list[Operation]:
    """A layer's nodes as liveness sees them."""
    graph = model.ir.graph
    return [
        Operation(
            layer.index,
            node.op_type,
            tuple(name_of(value) for value in reads_of(node, graph) if not is_weight(value)),
            tuple(str(value.name) for value in node.outputs if value.name),
        )
        for node in model.nodes[layer.start : layer.stop]
    ]
