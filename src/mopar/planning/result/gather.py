"""From the shares of a tensor that calls produce to the share that another call reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from mopar.types import CallInput, ProfileError, Region, Share, Source, TensorProfile


@dataclass(frozen=True, slots=True)
class Made:
    """A share of a tensor and the call (or ``REQUEST``) that produces it."""

    producer: str
    share: Share


def gathered(tensor: TensorProfile, makers: Sequence[Made], taken: Share) -> CallInput:
    """One input of a call: which parts of the produced shares it consists of, and how they are joined.

    Args:
        tensor: at the measured point.
        makers: producers of its shares, in ascending order: one that is whole, several along one axis, or summands.
        taken: the share that the call reads.

    Raises:
        ProfileError: the shares do not contain what the call reads.
    """
    if len(makers) == 1:
        made = makers[0]
        if made.share.axis is not None or made.share.summand:
            raise _missing(tensor, taken)
        return CallInput(tensor.name, (_source(tensor, made, taken),))
    if all(made.share.summand for made in makers):
        return CallInput(tensor.name, tuple(_source(tensor, made, taken) for made in makers), "sum")
    axis = makers[0].share.axis
    if axis is None or any(made.share.axis != axis for made in makers):
        raise _missing(tensor, taken)
    start, stop = (taken.start, taken.stop) if taken.axis == axis else (0, tensor.shape[axis])
    sources = []
    for made in makers:
        first, last = max(start, made.share.start), min(stop, made.share.stop)
        if first < last:
            part = Share(tensor.name, axis, first, last) if taken.axis in {None, axis} else taken
            sources.append(_source(tensor, made, part))
    if sum(_overlap(made.share, start, stop) for made in makers) != stop - start:
        raise _missing(tensor, taken)
    if len(sources) == 1:
        return CallInput(tensor.name, tuple(sources))
    return CallInput(tensor.name, tuple(sources), "concat", axis)


def _source(tensor: TensorProfile, made: Made, taken: Share) -> Source:
    """``taken`` out of one call's share; its region counts from the beginning of that share."""
    if taken.axis is None:
        return Source(made.producer, tensor.name)
    inside = made.share.axis == taken.axis
    first = made.share.start if inside else 0
    size = made.share.stop - first if inside else tensor.shape[taken.axis]
    if (taken.start - first, taken.stop - first) == (0, size):
        return Source(made.producer, tensor.name)
    return Source(made.producer, tensor.name, Region(taken.axis, taken.start - first, taken.stop - first, size))


def _overlap(share: Share, start: int, stop: int) -> int:
    return max(min(stop, share.stop) - max(start, share.start), 0)


def _missing(tensor: TensorProfile, taken: Share) -> ProfileError:
    return ProfileError(f"no calls make {taken} of {tensor.name}: profile the model again")
