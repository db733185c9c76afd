"""What a profile's layers show together: memory over time, how far it swings, runs of like layers, operators."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryPoint:
    """Memory while one layer runs, in bytes at the measured point.

    Attributes:
        layer: its index.
        weight_bytes: unpacked weights of its nodes, a shared weight once.
        activation_bytes: tensors that are live.
        workspace_bytes: scratch of its kernels, as far as known; in none of the sums.
        in_need_bytes: *memory in need*: weights of what runs, and live tensors.
        loaded_bytes: live tensors, and the weights of this layer and of all before it.
        held_bytes: live tensors, and all weights of the model.
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
    """How far memory swings over a request.

    Attributes:
        share: (most - least) / most; 0 where nothing is held.
        most_layer: the first layer with the most.
        most_bytes: what it has.
        least_layer: the first layer with the least.
        least_bytes: what it has.
    """

    share: float
    most_layer: int
    most_bytes: int
    least_layer: int
    least_bytes: int


@dataclass(frozen=True, slots=True)
class GlobalDifferences:
    """Memory swing over the layers that count, by three ways of holding weights.

    Attributes:
        in_need: of memory in need.
        loaded: with weights loaded so far.
        held: with all weights held.
        least_share: of the layers' time; layers with as much or more count.
        layers: how many count.
        time_share: what part of the layers' time they take together.
    """

    in_need: MemorySwing
    loaded: MemorySwing
    held: MemorySwing
    least_share: float
    layers: int
    time_share: float


@dataclass(frozen=True, slots=True)
class LayerRun:
    """Neighbouring layers ``start`` to ``stop`` (exclusive) that are alike in time and memory.

    Attributes:
        start: the first layer.
        stop: one past the last.
        time_share: what part of the layers' time they take.
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
    """What an operator type takes of the whole: each share adds up to 1 over the operators, or is 0 for all.

    A layer of several nodes counts for the operator that does its work.

    Attributes:
        operator: its type.
        layers: how many layers count for it.
        time_share: of the layers' time.
        memory_time_share: of memory in need x time, summed over layers.
        weight_share: of unpacked weight bytes; a shared weight counts where it is read first.
        activation_share: of live tensors' bytes, summed over layers.
        dominant: whether it is resource-dominant: it has at least half of the time, or of memory x time.
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
        timeline: a point for each layer.
        differences: global differences.
        runs: local similarities: together they hold every layer, in order.
        operators: by time, the most first.
    """

    timeline: tuple[MemoryPoint, ...]
    differences: GlobalDifferences
    runs: tuple[LayerRun, ...]
    operators: tuple[OperatorShare, ...]
