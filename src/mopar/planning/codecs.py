"""Which codecs are worth their time on a platform: those with which a tensor takes less time to reach a reader.

A tensor's codec is chosen by that alone. Whether the tensor crosses a cut at all then follows from the search, which
counts it encoded. Of tensors that no message of the platform holds as they are, codecs with which one does are worth it
in any case, and so is a store of objects that they pass through.
"""

from collections.abc import Mapping, Sequence

from mopar.planning.model.at_size import at_largest
from mopar.planning.model.calls import Side, call_costs, crossing_time
from mopar.planning.model.codings import RAW, Codings, applied
from mopar.planning.numbers import MIB
from mopar.types import (
    OBJECT_STORE,
    Graph,
    PlatformLimits,
    Profile,
    RuntimeCosts,
    Share,
    TensorCoding,
    UsageError,
    graph_text,
)

Offers = Mapping[str, Sequence[TensorCoding]]
"""Tensor -> the codecs that it may be sent with."""
Sides = Sequence[Side]
"""The calls of functions that a tensor crosses to or from."""
_BOTH: Sides = ("producer", "consumer")


def worthwhile(
    profile: Profile, limits: PlatformLimits, offers: Offers, *, all_of_them: bool = False
) -> dict[str, tuple[TensorCoding, ...]]:
    """The offered codecs of each tensor that beat sending it as it is, from the least added latency on.

    Of those that differ in how messages compress the same codes, the quickest.

    Args:
        profile: has the tensors, and what calls cost on its machine.
        limits: the platform's costs of a call, and what its messages hold.
        offers: the codecs of each tensor; tensors of which none is worthwhile are left out.
        all_of_them: whether those that do not beat it are kept, too.
    """
    sides, runtime = _sides(profile), profile.runtime
    sizes = {tensor.name: tensor.bytes for tensor in at_largest(profile).tensors}
    found = {}
    for tensor, codings in offers.items():
        crossed = sides.get(tensor, _BOTH)
        must = not _fits(limits, sizes.get(tensor, 0))
        raw_ms = crossing_ms(runtime, limits, None, crossed)
        usable = [applied(profile, {tensor: coding}).get(tensor) for coding in codings]
        timed = [
            (crossing_ms(runtime, limits, one, crossed), coding)
            for coding, one in zip(codings, usable, strict=True)
            if one is not None and (not must or _fits(limits, sizes[tensor] * coding.bound_ratio))
        ]
        kept = [pair for pair in timed if all_of_them or must or pair[0] < raw_ms]
        if kept:
            by_codes: dict[str, TensorCoding] = {}
            for _, coding in sorted(kept, key=lambda pair: (pair[0], pair[1].text)):
                by_codes.setdefault(graph_text(coding.text), coding)
            found[tensor] = tuple(by_codes.values())
    return found


def stored(profile: Profile, limits: PlatformLimits) -> dict[str, TensorCoding]:
    """A store of objects, for the tensors that no message of the platform holds as they are.

    Putting and getting an object takes its time whatever computes meanwhile: latency, and no CPU.

    Raises:
        UsageError: the platform has no store.
    """
    if limits.store_ms is None:
        raise UsageError(f"--object-store: functions of {limits.name} have none: leave it out")
    largest = at_largest(profile).tensors
    found = {}
    for tensor, most in zip(profile.tensors, largest, strict=True):
        if tensor.bytes and not _fits(limits, most.bytes):
            per_mib_ms = limits.store_ms_per_mib + limits.store_ms / (tensor.bytes / MIB)
            found[tensor.name] = TensorCoding(
                OBJECT_STORE,
                ratio=0.0,
                encode_ms_per_mib=0.0,
                decode_ms_per_mib=0.0,
                library_mib=limits.store_mib,
                by_gateway=True,
                read_ms_per_mib=per_mib_ms,
                made_ms_per_mib=per_mib_ms,
                share_axes=(),
            )
    return found


def crossing_ms(
    runtime: RuntimeCosts, limits: PlatformLimits, coding: TensorCoding | None, sides: Sides = _BOTH
) -> float:
    """Time that a MiB of a tensor takes from its producer to one reader, encoding and decoding included."""
    costs = call_costs(runtime, limits)
    times = [crossing_time(costs, MIB, side, coding or RAW) for side in sides]
    return sum(time.inside_ms + time.outside_ms for time in times)


def cheapest(choices: Mapping[str, Sequence[TensorCoding]]) -> Codings:
    """The first codec of each tensor."""
    return {tensor: codings[0] for tensor, codings in choices.items() if codings}


def encodable(graphs: Sequence[Graph], tensor: str, coding: TensorCoding) -> bool:
    """Whether a codec encodes all that the graphs of a plan make of a tensor."""
    made = (share for graph in graphs if graph.part is not None for share in graph.part.outputs)
    return all(coding.encodes(share) for share in made if share.tensor == tensor)


def for_parts(profile: Profile, choices: Mapping[str, Sequence[TensorCoding]]) -> dict[str, tuple[TensorCoding, ...]]:
    """The codecs of each tensor that encode whatever parts can make of it, so that they take no step from a plan."""
    made: dict[str, list[Share]] = {}
    for step in profile.shards:
        for part in step.parts:
            for share in part.part.outputs:
                made.setdefault(share.tensor, []).append(share)
    kept = {
        tensor: tuple(coding for coding in codings if all(map(coding.encodes, made.get(tensor, ()))))
        for tensor, codings in choices.items()
    }
    return {tensor: codings for tensor, codings in kept.items() if codings}


def _sides(profile: Profile) -> dict[str, Sides]:
    """Those of the model's own inputs, which no function makes, and of outputs that no function reads."""
    found: dict[str, Sides] = {tensor.name: ("consumer",) for tensor in profile.tensors if tensor.producer < 0}
    outputs, end = {spec.name for spec in profile.outputs}, len(profile.layers)
    for tensor in profile.tensors:
        if tensor.name in outputs and tensor.producer >= 0 and all(reader >= end for reader in tensor.consumers):
            found[tensor.name] = ("producer",)
    return found


def _fits(limits: PlatformLimits, nbytes: float) -> bool:
    """Whether a message has room for so many bytes of a tensor."""
    return limits.payload_bytes is None or nbytes * limits.payload_factor <= limits.payload_bytes
