"""Checks of a profile's sharding steps against its layers and tensors."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from mopar.planning.model.boundary import last_use, slice_outputs
from mopar.types import PartProfile, Profile, ProfileError, ShardStep, Share, TensorProfile

_FEWEST = 2
_TOLERANCE = 1e-6


def check_shards(profile: Profile, most: float) -> None:
    """Check ``Profile.shards``; figures above ``most`` bytes are errors. Linear in steps x tensors.

    Raises:
        ProfileError: the first violation.
    """
    places = {0, *(cut.index for cut in profile.cut_positions), len(profile.layers)}
    tensors = {tensor.name: tensor for tensor in profile.tensors}
    for step in profile.shards:
        if not step.start < step.stop or not {step.start, step.stop} <= places:
            raise ProfileError(f"{_words(step)} does not lie between cut positions")
        _check_places(step)
        for part in step.parts:
            _check_numbers(step, part, most)
            _check_shares(step, part, tensors)
        for tensor in slice_outputs(profile.tensors, step.start, step.stop):
            _check_made(step, tensor)


def _check_places(step: ShardStep) -> None:
    count = len(step.parts)
    if [(part.part.index, part.part.count) for part in step.parts] != [(index, count) for index in range(count)]:
        raise ProfileError(f"{_words(step)} has not the parts 0 to {count - 1} of {count}, in order")
    if sum(bool(part.part.outputs) for part in step.parts) < _FEWEST:
        raise ProfileError(f"{_words(step)} has fewer than {_FEWEST} parts that make anything")


def _check_numbers(step: ShardStep, part: PartProfile, most: float) -> None:
    if not 0 <= part.time_share <= 1 + _TOLERANCE:
        raise ProfileError(f"{_words(step)}: part {part.part.index} has time_share {part.time_share:g}")
    for name in ("resident_bytes", "file_bytes", "activation_bytes"):
        value = getattr(part, name)
        if not 0 <= value <= most:
            raise ProfileError(f"{_words(step)}: part {part.part.index} has {name} {value:g}")


def _check_shares(step: ShardStep, part: PartProfile, tensors: dict[str, TensorProfile]) -> None:
    for side, shares in (("takes", part.part.inputs), ("makes", part.part.outputs)):
        where = f"{_words(step)}: part {part.part.index} {side}"
        names = [share.tensor for share in shares]
        for share in shares:
            tensor = tensors.get(share.tensor)
            if tensor is None or names.count(share.tensor) > 1:
                raise ProfileError(f"{where} {share.tensor!r}, which the profile lacks or the part has twice")
            if share.summand and (share.axis is not None or side == "takes"):
                raise ProfileError(f"{where} a summand of {share.tensor!r}, which cannot be")
            if not _is_inside(share, tensor):
                raise ProfileError(
                    f"{where} {share.start} to {share.stop} of axis {share.axis} of {share.tensor!r}, "
                    f"whose shape is {tensor.shape}"
                )
            if not _is_of(step, tensor, side):
                raise ProfileError(f"{where} {share.tensor!r}, which does not cross its {_EDGES[side]}")


_EDGES = {"takes": "start", "makes": "end"}


def _is_of(step: ShardStep, tensor: TensorProfile, side: str) -> bool:
    if side == "takes":
        return tensor.producer < step.start and any(step.start <= reader < step.stop for reader in tensor.consumers)
    return step.start <= tensor.producer < step.stop <= last_use(tensor)


def _is_inside(share: Share, tensor: TensorProfile) -> bool:
    if share.axis is None:
        return share.start == share.stop == 0
    return 0 <= share.axis < len(tensor.shape) and 0 <= share.start < share.stop <= tensor.shape[share.axis]


def _check_made(step: ShardStep, tensor: TensorProfile) -> None:
    made = [share for part in step.parts for share in part.part.outputs if share.tensor == tensor.name]
    if not (made == [Share(tensor.name)] or _are_summands(made) or _are_all(made, tensor)):
        raise ProfileError(f"{_words(step)}: what its parts make of {tensor.name!r} is not all of it, once")


def _are_summands(made: Sequence[Share]) -> bool:
    return len(made) >= _FEWEST and all(share.summand for share in made)


def _are_all(made: Sequence[Share], tensor: TensorProfile) -> bool:
    axis = made[0].axis if len(made) >= _FEWEST else None
    if axis is None or any(share.axis != axis for share in made):
        return False
    return made[0].start == 0 and made[-1].stop == tensor.shape[axis] and all(_follow(made))


def _follow(made: Sequence[Share]) -> Iterator[bool]:
    return (one.stop == other.start for one, other in pairwise(made))


def _words(step: ShardStep) -> str:
    return f"the profile's step of layers {step.start} to {step.stop}"
