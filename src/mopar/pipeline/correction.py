"""A profile corrected by what building and measuring a plan showed."""

from collections.abc import Sequence
from dataclasses import replace

from mopar.planning.model.times import elapsed_ms
from mopar.types import MemorySample, Plan, Profile
from mopar.types.reports import Verification

_LEAST_FACTOR = 0.25
"""No layer is taken to be more than four times quicker than it was measured to be."""


def corrected(profile: Profile, plan: Plan, found: Verification) -> Profile:
    """The profile with what measuring a chain of slices showed.

    What functions take more than predicted, by their median, is the hop's where there are several; what a function
    takes beyond that is its layers', in proportion to their time. What the request takes beyond its functions, and was
    not predicted, lies between them. Required memory of a slice takes the place of samples that it overlaps.
    """
    graphs = {graph.id: graph for graph in plan.graphs}
    spans = [(graphs[function.graphs[0]].start, graphs[function.graphs[0]].stop) for function in plan.functions]
    more_ms = [
        0.0 if function.measured_ms is None else function.measured_ms - function.predicted_ms
        for function in found.functions
    ]
    hop_ms = max(sorted(more_ms)[len(more_ms) // 2], -profile.runtime.hop_billed_ms) if len(more_ms) > 1 else 0.0
    elapsed = elapsed_ms(profile)
    layers = list(profile.layers)
    for (start, stop), extra_ms in zip(spans, more_ms, strict=True):
        before_ms = elapsed[stop] - elapsed[start]
        factor = max(1 + (extra_ms - hop_ms) / before_ms, _LEAST_FACTOR) if before_ms > 0 else 1.0
        for place in range(start, stop):
            layer_ms = factor * (elapsed[place + 1] - elapsed[place])
            layers[place] = replace(layers[place], latency_ms=layer_ms)
    return replace(
        profile,
        layers=tuple(layers),
        whole=replace(profile.whole, latency_ms=sum(layer.latency_ms for layer in layers)),
        runtime=replace(
            profile.runtime,
            hop_ms=max(profile.runtime.hop_ms + hop_ms + _between_ms(found, more_ms), 0.0),
            hop_billed_ms=max(profile.runtime.hop_billed_ms + hop_ms, 0.0),
        ),
        samples=_samples(profile, spans, found),
    )


def _between_ms(found: Verification, more_ms: Sequence[float]) -> float:
    """What the request takes more than its functions do, and than was predicted, per function."""
    if found.latency_ms.measured is None:
        return 0.0
    return (found.latency_ms.measured - found.latency_ms.predicted - sum(more_ms)) / len(more_ms)


def _samples(profile: Profile, spans: Sequence[tuple[int, int]], found: Verification) -> tuple[MemorySample, ...]:
    fresh = [
        MemorySample(*span, function.measured_mib)
        for span, function in zip(spans, found.functions, strict=True)
        if function.measured_mib is not None
    ]
    kept = [
        sample
        for sample in profile.samples
        if not any(sample.start < other.stop and other.start < sample.stop for other in fresh)
    ]
    return tuple(sorted([*kept, *fresh], key=lambda sample: sample.start))
