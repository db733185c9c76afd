"""Which codecs several tensors may have together, by what each gains and loses alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mopar.types import TensorCoding

_MOST = 400
"""Combinations that are kept: their losses then differ by less than an estimate is worth."""


@dataclass(frozen=True, slots=True)
class Option:
    """One codec of a tensor, or none.

    Attributes:
        coding: the codec; None for the tensor as it is.
        gain: what the plan's figure is less than with the tensor as it is.
        lost: points that the plan loses where this tensor alone is encoded.
    """

    coding: TensorCoding | None
    gain: float
    lost: float


@dataclass(frozen=True, slots=True)
class Combination:
    """Codecs of several tensors; ``gain`` and ``lost`` are the sums of what each has alone."""

    codings: Mapping[str, TensorCoding]
    gain: float
    lost: float


def combinations(options: Mapping[str, Sequence[Option]], most_lost: float) -> list[Combination]:
    """Those of which no other gains more and loses less, from the one that loses least on.

    Args:
        options: of each tensor.
        most_lost: combinations that lose more are left out.
    """
    found = [Combination({}, 0.0, 0.0)]
    for tensor, own in options.items():
        joined = (_with(one, tensor, option) for one in found for option in own)
        found = _downsampled(list(_undominated(one for one in joined if one.lost <= most_lost)))
    return found


def _with(one: Combination, tensor: str, option: Option) -> Combination:
    codings = one.codings if option.coding is None else {**one.codings, tensor: option.coding}
    return Combination(codings, one.gain + option.gain, one.lost + option.lost)


def _undominated(found: Iterator[Combination]) -> Iterator[Combination]:
    most = float("-inf")
    for one in sorted(found, key=lambda one: (one.lost, -one.gain)):
        if one.gain > most:
            most = one.gain
            yield one


def _downsampled(found: list[Combination]) -> list[Combination]:
    if len(found) <= _MOST:
        return found
    step = (len(found) - 1) / (_MOST - 1)
    return [found[round(number * step)] for number in range(_MOST)]
