"""Which codecs are worth their time on a platform: those with which a tensor takes less time to reach a reader.

A tensor's codec is chosen by that alone. Whether the tensor crosses a cut at all then follows from the search, which
counts it encoded.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mopar.planning.model.calls import Side, call_costs, crossing_time
from mopar.planning.model.codings import RAW, Codings, applied
from mopar.planning.numbers import MIB
from mopar.types import PlatformLimits, Profile, RuntimeCosts, TensorCoding

Offers = Mapping[str, Sequence[TensorCoding]]
"""Tensor -> the codecs that it may be sent with."""
Sides = Sequence[Side]
"""The calls of functions that a tensor crosses to or from."""
_BOTH: Sides = ("producer", "consumer")
_NO_SIDES: Mapping[str, Sides] = MappingProxyType({})


def sides_of(profile: Profile) -> dict[str, Sides]:
    """Those of the model's own inputs, which no function makes, and of outputs that no function reads."""
    found: dict[str, Sides] = {tensor.name: ("consumer",) for tensor in profile.tensors if tensor.producer < 0}
    outputs, end = {spec.name for spec in profile.outputs}, len(profile.layers)
    for tensor in profile.tensors:
        if tensor.name in outputs and tensor.producer >= 0 and all(reader >= end for reader in tensor.consumers):
            found[tensor.name] = ("producer",)
    return found


def usable(profile: Profile, offers: Offers) -> dict[str, list[TensorCoding]]:
    """The offered codecs that a plan can use for each tensor, with what they cost there."""
    found = {
        name: [applied(profile, {name: coding}).get(name) for coding in codings] for name, codings in offers.items()
    }
    return {name: [coding for coding in codings if coding is not None] for name, codings in found.items()}


def worthwhile(
    runtime: RuntimeCosts,
    limits: PlatformLimits,
    offers: Offers,
    *,
    all_of_them: bool = False,
    sides: Mapping[str, Sides] = _NO_SIDES,
) -> dict[str, tuple[TensorCoding, ...]]:
    """The offered codecs of each tensor that beat sending it as it is, from the least added latency on.

    Args:
        runtime: what calls cost on the profile's machine.
        limits: the platform's costs of a call.
        offers: the codecs of each tensor; tensors of which none is worthwhile are left out.
        all_of_them: whether those that do not beat it are kept, too.
        sides: of tensors that do not pass from a function to another.
    """
    found = {}
    for tensor, codings in offers.items():
        crossed = sides.get(tensor, _BOTH)
        raw_ms = crossing_ms(runtime, limits, None, crossed)
        timed = sorted(
            ((crossing_ms(runtime, limits, coding, crossed), coding.text, coding) for coding in codings),
            key=lambda item: item[:2],
        )
        better = tuple(coding for ms, _, coding in timed if all_of_them or ms < raw_ms)
        if better:
            found[tensor] = better
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
