"""A profile as of functions that load portable graphs, where nobody knows which kind of CPU they will run on.

Profiles are measured with packed graphs. From a portable one, the engine packs weights while it loads. Filters of
convolutions are all reordered before the first is let go; other weights that kernels pack are packed one at a time,
beside the plain one. ``python -m benchmarks.portable_graphs`` measures both, and what the loading takes.
"""

from collections.abc import Iterable
from dataclasses import replace

from mopar.planning.model.at_size import at_largest
from mopar.planning.model.memory import active_bytes, weight_bytes
from mopar.planning.numbers import MIB
from mopar.types import LayerProfile, PartProfile, Profile, ShardStep, SizePoint, WeightProfile

_REORDERED = frozenset({"Conv"})
_PACKED = frozenset({"Gemm", "MatMul", "MatMulInteger", "LSTM", "GRU", "RNN"})
_REORDERED_SHARE = 0.55
"""Of the filters of convolutions, how much is held beside them while they are loaded."""
_REORDERED_MS_PER_MIB, _PACKED_MS_PER_MIB = 1.4, 0.9
"""What reordering a MiB of filters and packing a MiB of other weights takes while loading, with one CPU."""


def loaded_portable(profile: Profile) -> Profile:
    """The profile with the memory and files of portable graphs; times of calls are the same."""
    reordered = _read_by(profile.layers, _REORDERED)
    packed = _read_by(profile.layers, _PACKED) - reordered
    beside = _packed_beside(profile, packed)
    grown = replace(
        profile,
        weights=tuple(_weight(weight, weight.name in reordered) for weight in profile.weights),
        layers=tuple(
            replace(layer, workspace_bytes=layer.workspace_bytes + more)
            for layer, more in zip(profile.layers, beside, strict=True)
        ),
        shards=tuple(_step(step, profile.layers, beside) for step in profile.shards),
        smallest=_sized(profile.smallest, beside),
        largest=_sized(profile.largest, beside),
        beyond=_sized(profile.beyond, beside),
    )
    return _with_measured(profile, grown)


def packing_times(profile: Profile) -> dict[str, float]:
    """Of each weight that kernels reorder or pack while a portable graph is loaded, the ms with one CPU."""
    reordered = _read_by(profile.layers, _REORDERED)
    packed = _read_by(profile.layers, _PACKED) - reordered
    per_mib = dict.fromkeys(reordered, _REORDERED_MS_PER_MIB) | dict.fromkeys(packed, _PACKED_MS_PER_MIB)
    return {one.name: per_mib[one.name] * one.bytes / MIB for one in profile.weights if one.name in per_mib}


def _read_by(layers: Iterable[LayerProfile], operators: frozenset[str]) -> set[str]:
    """Weights of the layers that have one of the operators."""
    return {name for layer in layers if operators & set(layer.operators) for name in layer.weights}


def _packed_beside(profile: Profile, packed: set[str]) -> list[int]:
    """Of each layer, the largest weight of which a packed copy is made."""
    sizes = {weight.name: weight.bytes for weight in profile.weights if weight.name in packed}
    return [max((sizes.get(name, 0) for name in layer.weights), default=0) for layer in profile.layers]


def _weight(weight: WeightProfile, reordered: bool) -> WeightProfile:
    more = round(_REORDERED_SHARE * weight.resident_bytes) if reordered else 0
    return replace(weight, resident_bytes=weight.resident_bytes + more, file_bytes=weight.bytes)


def _step(step: ShardStep, layers: tuple[LayerProfile, ...], beside: list[int]) -> ShardStep:
    """Parts have a share of the weights, the largest included."""
    span = slice(step.start, step.stop)
    reorders = any(_REORDERED & set(layer.operators) for layer in layers[span])
    most = max(beside[span])

    def part(held: PartProfile) -> PartProfile:
        resident = round(held.resident_bytes * (1.0 + _REORDERED_SHARE)) if reorders else held.resident_bytes
        return replace(held, resident_bytes=resident, activation_bytes=held.activation_bytes + min(most, resident))

    return replace(step, parts=tuple(map(part, step.parts)))


def _sized(size: SizePoint | None, beside: list[int]) -> SizePoint | None:
    if size is None:
        return None
    return replace(size, layer_bytes=tuple(held + more for held, more in zip(size.layer_bytes, beside, strict=True)))


def _with_measured(profile: Profile, grown: Profile) -> Profile:
    """The grown profile with what was measured grown alike, so that what cannot be computed stays the same."""
    before, after = at_largest(profile), at_largest(grown)

    def more_mib(start: int, stop: int) -> float:
        held = [weight_bytes(one, [(start, stop)]) + active_bytes(one, start, stop) for one in (before, after)]
        return (held[1] - held[0]) / MIB

    whole_mib = more_mib(0, len(profile.layers))
    return replace(
        grown,
        whole=replace(profile.whole, memory_mib=profile.whole.memory_mib + whole_mib),
        samples=tuple(
            replace(sample, required_mib=sample.required_mib + more_mib(sample.start, sample.stop))
            for sample in profile.samples
        ),
        smallest=_with_more(grown.smallest, whole_mib),
        largest=_with_more(grown.largest, whole_mib),
        beyond=_with_more(grown.beyond, whole_mib),
    )


def _with_more(size: SizePoint | None, whole_mib: float) -> SizePoint | None:
    return None if size is None else replace(size, memory_mib=size.memory_mib + whole_mib)
