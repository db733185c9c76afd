"""Memory over time, by layer, and how far it swings (docs/measuring.md)."""

from collections.abc import Callable, Sequence

from mopar.types import GlobalDifferences, LayerProfile, MemoryPoint, MemorySwing, WeightProfile

_LEAST_SHARE = 0.01
_FEW_SHARE, _ENOUGH_SHARE = 0.5, 0.9


def memory_timeline(layers: Sequence[LayerProfile], weights: Sequence[WeightProfile]) -> tuple[MemoryPoint, ...]:
    """What each layer needs while it runs, and what is held then.

    Linear in the layers and the weights that they read.

    Args:
        layers: in order, with their live tensors.
        weights: of the model, those that the layers name among them.
    """
    sizes = {weight.name: weight.bytes for weight in weights}
    every_bytes = sum(sizes.values())
    loaded_bytes = 0
    points = []
    for layer in layers:
        loaded_bytes += sum(sizes.pop(name, 0) for name in layer.weights)
        live_bytes = layer.activation_bytes
        points.append(
            MemoryPoint(
                layer=layer.index,
                weight_bytes=layer.weight_bytes,
                activation_bytes=live_bytes,
                workspace_bytes=layer.workspace_bytes,
                in_need_bytes=layer.weight_bytes + live_bytes,
                loaded_bytes=loaded_bytes + live_bytes,
                held_bytes=every_bytes + live_bytes,
            )
        )
    return tuple(points)


def global_differences(timeline: Sequence[MemoryPoint], latency_ms: Sequence[float]) -> GlobalDifferences:
    """How far memory swings over the layers that take their time.

    Layers with at least 1% of the layers' time count. Where those hold less than half of it, the model is of many
    small layers, and the longest that hold 90% of it together count instead.

    Args:
        timeline: a point for each layer; at least one.
        latency_ms: of each layer.
    """
    total_ms = sum(latency_ms)
    shares = [ms / total_ms if total_ms > 0 else 1 / len(latency_ms) for ms in latency_ms]
    least_share = _least_share(shares)
    counted = [number for number, share in enumerate(shares) if share >= least_share]
    points = [timeline[number] for number in counted]
    return GlobalDifferences(
        in_need=memory_swing(points, lambda point: point.in_need_bytes),
        loaded=memory_swing(points, lambda point: point.loaded_bytes),
        held=memory_swing(points, lambda point: point.held_bytes),
        least_share=least_share,
        layers=len(points),
        time_share=sum(shares[number] for number in counted),
    )


def _least_share(shares: Sequence[float]) -> float:
    """The share of time from which on a layer counts."""
    if sum(share for share in shares if share >= _LEAST_SHARE) >= _FEW_SHARE:
        return _LEAST_SHARE
    held = 0.0
    for share in sorted(shares, reverse=True):
        held += share
        if held >= _ENOUGH_SHARE:
            break
    return share


def memory_swing(points: Sequence[MemoryPoint], held: Callable[[MemoryPoint], int]) -> MemorySwing:
    """(Most - least) / most of what ``held`` gives, over at least one point."""
    most, least = max(points, key=held), min(points, key=held)
    most_bytes, least_bytes = held(most), held(least)
    share = (most_bytes - least_bytes) / most_bytes if most_bytes else 0.0
    return MemorySwing(share, most.layer, most_bytes, least.layer, least_bytes)
