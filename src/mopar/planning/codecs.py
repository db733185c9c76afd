"""Which codecs are worth their time on a platform: those with which a tensor takes less time to reach a reader.

A tensor's codec is chosen by that alone. Whether the tensor crosses a cut at all then follows from the search, which
counts it encoded.
"""

from collections.abc import Mapping, Sequence

from mopar.planning.model.calls import Side, call_costs, crossing_time
from mopar.planning.model.codings import RAW, Codings
from mopar.planning.numbers import MIB
from mopar.types import PlatformLimits, RuntimeCosts, TensorCoding

Offers = Mapping[str, Sequence[TensorCoding]]
"""Tensor -> the codecs that it may be sent with."""
_SIDES: tuple[Side, Side] = ("producer", "consumer")


def worthwhile(
    runtime: RuntimeCosts, limits: PlatformLimits, offers: Offers, *, all_of_them: bool = False
) -> dict[str, tuple[TensorCoding, ...]]:
    """The offered codecs of each tensor that beat sending it as it is, from the least added latency on.

    Args:
        runtime: what calls cost on the profile's machine.
        limits: the platform's costs of a call.
        offers: the codecs of each tensor; tensors of which none is worthwhile are left out.
        all_of_them: whether those that do not beat it are kept, too.
    """
    raw_ms = crossing_ms(runtime, limits, None)
    found = {}
    for tensor, codings in offers.items():
        timed = sorted((crossing_ms(runtime, limits, coding), coding.text, coding) for coding in codings)
        better = tuple(coding for ms, _, coding in timed if all_of_them or ms < raw_ms)
        if better:
            found[tensor] = better
    return found


def crossing_ms(runtime: RuntimeCosts, limits: PlatformLimits, coding: TensorCoding | None) -> float:
    """Time that a MiB of a tensor takes from its producer to one reader, encoding and decoding included."""
    costs = call_costs(runtime, limits)
    sides = [crossing_time(costs, MIB, side, coding or RAW) for side in _SIDES]
    return sum(time.inside_ms + time.outside_ms for time in sides)


def cheapest(choices: Mapping[str, Sequence[TensorCoding]]) -> Codings:
    """The first codec of each tensor."""
    return {tensor: codings[0] for tensor, codings in choices.items() if codings}
