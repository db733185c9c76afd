"""Resource-dominant operators: what each operator type takes of a model's time and memory."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mopar.engine.work.facts import node_facts
from mopar.engine.work.families import work_of
from mopar.graph import Layer, Model
from mopar.types import LayerProfile, MemoryPoint, OperatorShare, WeightProfile

_DOMINANT_SHARE = 0.5


def leading_operators(model: Model, layers: Sequence[Layer], shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """For each layer, the operator type that does its work.

    Of several nodes it is the one with the most arithmetic, of equals the one that reads the most weights, then the
    first. Weights alone would not do: the constant that scales a product of two activations weighs more than it.

    Args:
        model: in canonical form.
        layers: of it.
        shapes: of its tensors at the measured point, as far as known.
    """
    return tuple(_leader(model, layer, shapes) for layer in layers)


def _leader(model: Model, layer: Layer, shapes: Mapping[str, tuple[int, ...]]) -> str:
    if len(layer.operators) == 1:
        return layer.operators[0]
    works = [work_of(node_facts(node, shapes)) for node in model.nodes[layer.start : layer.stop]]
    best = max(range(len(works)), key=lambda number: (works[number].flops, works[number].weight_bytes, -number))
    return layer.operators[best]


def operator_shares(
    layers: Sequence[LayerProfile],
    timeline: Sequence[MemoryPoint],
    weights: Sequence[WeightProfile],
    operators: Sequence[str],
) -> tuple[OperatorShare, ...]:
    """What each operator type takes, by time, the most first.

    Args:
        layers: in order.
        timeline: their memory.
        weights: of the model.
        operators: for each layer, the type that it counts for.
    """
    unread = {weight.name: weight.bytes for weight in weights}
    sums: dict[str, NDArray[np.float64]] = {}
    for layer, point, operator in zip(layers, timeline, operators, strict=True):
        first_read_bytes = sum(unread.pop(name, 0) for name in layer.weights)
        memory_time = layer.latency_ms * point.in_need_bytes
        taken = np.array([1.0, layer.latency_ms, memory_time, first_read_bytes, layer.activation_bytes])
        sums[operator] = sums[operator] + taken if operator in sums else taken
    totals = np.sum(list(sums.values()), axis=0)
    shares = [_operator_share(operator, taken, totals) for operator, taken in sums.items()]
    return tuple(sorted(shares, key=lambda share: (-share.time_share, share.operator)))


def _operator_share(operator: str, taken: NDArray[np.float64], totals: NDArray[np.float64]) -> OperatorShare:
    parts = [float(part / whole) if whole > 0 else 0.0 for part, whole in zip(taken, totals, strict=True)]
    _, time_share, memory_time_share, weight_share, activation_share = parts
    return OperatorShare(
        operator=operator,
        layers=int(taken[0]),
        time_share=time_share,
        memory_time_share=memory_time_share,
        weight_share=weight_share,
        activation_share=activation_share,
        dominant=max(time_share, memory_time_share) >= _DOMINANT_SHARE,
    )
