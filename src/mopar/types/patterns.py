"""Patterns in a profile: memory over time, memory swing, runs of similar layers, resource-dominant operators."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryPoint:
    """Memory while one layer runs, in bytes at the measured point.

    Attributes:
        layer: index of the layer.
        weight_bytes: unpacked weights of its nodes; a shared weight counts once.
        activation_bytes: live tensors.
        workspace_bytes: scratch memory of its kernels, as far as known; not part of any of the sums below.
        in_need_bytes: *memory in need*: live tensors plus the weights of this layer.
        loaded_bytes: live tensors plus the weights of this and all earlier layers.
        held_bytes: live tensors plus all weights of the model.
    """

    layer: int
    weight_bytes: int
    activation_bytes: int
    workspace_bytes: int
    in_need_bytes: int
    loaded_bytes: int
    held_bytes: int


@dataclass(frozen=True, slots=True)
class MemorySwing:
    """Memory swing over a request.

    Attributes:
        share: (most - least) / most; 0 where both are 0.
        most_layer: the first layer with the most memory.
        most_bytes: memory of ``most_layer``.
        least_layer: the first layer with the least memory.
        least_bytes: memory of ``least_layer``.
    """

    share: float
    most_layer: int
    most_bytes: int
    least_layer: int
    least_bytes: int


@dataclass(frozen=True, slots=True)
class GlobalDifferences:
    """Memory swing over the layers that take a relevant share of the time, for three ways of holding weights.

    Attributes:
        in_need: swing of memory in need.
        loaded: swing with weights loaded layer by layer.
        held: swing with all weights held.
        least_share: share of the layers' time from which on a layer is included.
        layers: number of layers included.
        time_share: share of the layers' time that the included layers take together.
    """

    in_need: MemorySwing
    loaded: MemorySwing
    held: MemorySwing
    least_share: float
    layers: int
    time_share: float


@dataclass(frozen=True, slots=True)
class LayerRun:
    """Neighbouring layers ``start`` to ``stop`` (exclusive) with similar time and memory.

    Attributes:
        start: the first layer.
        stop: one past the last layer.
        time_share: their share of the layers' time.
        mean_ms: mean latency of a layer.
        mean_mib: mean memory in need of a layer.
    """

    start: int
    stop: int
    time_share: float
    mean_ms: float
    mean_mib: float


@dataclass(frozen=True, slots=True)
class OperatorShare:
    """An operator type's share of the model: each kind of share adds up to 1 over all operators, or is 0 for all.

    A layer of several nodes is attributed to the operator that does most of its arithmetic.

    Attributes:
        operator: the operator type.
        layers: number of layers attributed to it.
        time_share: share of the layers' time.
        memory_time_share: share of memory in need x time, summed over layers.
        weight_share: share of unpacked weight bytes; a shared weight is attributed to its first reader.
        activation_share: share of the bytes of live tensors, summed over layers.
        dominant: whether it is resource-dominant: it takes at least half of the time, or of memory x time.
    """

    operator: str
    layers: int
    time_share: float
    memory_time_share: float
    weight_share: float
    activation_share: float
    dominant: bool


@dataclass(frozen=True, slots=True)
class Patterns:
    """How a model uses time and memory (docs/measuring.md defines each).

    Attributes:
        timeline: one point per layer.
        differences: global differences.
        runs: local similarities; together they hold every layer, in order.
        operators: sorted by time, largest share first.
    """

    timeline: tuple[MemoryPoint, ...]
    differences: GlobalDifferences
    runs: tuple[LayerRun, ...]
    operators: tuple[OperatorShare, ...]
