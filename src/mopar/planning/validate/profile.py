"""Checks of a profile, which may come from a file."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

from mopar.planning.validate.ranges import check_ranges
from mopar.planning.validate.shards import check_shards
from mopar.types import Profile, ProfileError, TensorProfile

_PLACES = {"index", "producer", "start", "stop"}
_SIGNED = {"unattributed_ms"}
_MOST = 1e15
"""More ms, MiB or bytes than any model has; far below where floats overflow in products."""


def check_profile(profile: Profile) -> None:
    """Check a profile against itself. Linear in its size.

    Raises:
        ProfileError: the first violation.
    """
    try:
        _check_layers(profile)
        _check_tensors(profile)
        _check_places(profile)
        _check_numbers(profile)
        _check_sizes(profile)
        check_shards(profile, _MOST)
    except ProfileError as error:
        raise ProfileError(f"{error}: profile the model again") from error


def _check_layers(profile: Profile) -> None:
    if not profile.layers:
        raise ProfileError("the profile has no layers")
    if [layer.index for layer in profile.layers] != list(range(len(profile.layers))):
        raise ProfileError("the profile's layers are not numbered from 0 in order")
    known = _unique("weight", (weight.name for weight in profile.weights))
    for layer in profile.layers:
        for name in layer.weights:
            if name not in known:
                raise ProfileError(f"layer {layer.index} reads the weight {name!r}, which the profile lacks")


def _check_tensors(profile: Profile) -> None:
    known = _unique("tensor", (tensor.name for tensor in profile.tensors))
    for tensor in profile.tensors:
        _check_life(tensor, len(profile.layers))
    crossing = [(f"cut position {cut.index}", name) for cut in profile.cut_positions for name in cut.tensors]
    for where, name in [*crossing, *(("the model", spec.name) for spec in (*profile.inputs, *profile.outputs))]:
        if name not in known:
            raise ProfileError(f"the profile has no tensor {name!r} of {where}")


def _check_life(tensor: TensorProfile, count: int) -> None:
    readers = tensor.consumers
    # A layer of several nodes may read its own tensors.
    bounds = (max(tensor.producer - 1, -1), *readers, count + 1)
    if not -1 <= tensor.producer < count or any(a >= b for a, b in pairwise(bounds)):
        raise ProfileError(
            f"tensor {tensor.name!r} is made in layer {tensor.producer} and read in {readers} of {count}"
        )


def _check_places(profile: Profile) -> None:
    count = len(profile.layers)
    places = [0, *(cut.index for cut in profile.cut_positions), count]
    if any(a >= b for a, b in pairwise(places)):
        raise ProfileError(f"the profile's cut positions do not rise from 1 to {count - 1}")
    for sample in profile.samples:
        if not 0 <= sample.start < sample.stop <= count:
            raise ProfileError(f"the profile has a sample of layers {sample.start} to {sample.stop} of {count}")


def _check_numbers(profile: Profile) -> None:
    groups = (profile.layers, profile.weights, profile.tensors, profile.cut_positions, profile.samples)
    for part in (profile.whole, profile.runtime, *(item for group in groups for item in group)):
        for name, value in _numbers(part):
            least = -_MOST if name in _SIGNED else 0
            if not least <= value <= _MOST:
                raise ProfileError(f"a {type(part).__name__} of the profile has {name} {value:g}")


def _check_sizes(profile: Profile) -> None:
    """Check the model at other sizes: one figure for each tensor and layer."""
    for size in (profile.smallest, profile.largest, profile.beyond):
        if size is None:
            continue
        if len(size.tensor_bytes) != len(profile.tensors) or len(size.layer_bytes) != len(profile.layers):
            raise ProfileError("the profile has not each tensor and layer at another size")
        if not all(0 <= held <= _MOST for held in (*size.tensor_bytes, *size.layer_bytes)):
            raise ProfileError("the profile has impossible sizes of tensors or layers")
    check_ranges(profile.ranges, {spec.name for spec in profile.inputs}, ProfileError)


def _numbers(part: object) -> Iterator[tuple[str, float]]:
    for field in dataclasses.fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if isinstance(value, int | float) and field.name not in _PLACES:
            yield field.name, value


def _unique(what: str, names: Iterable[str]) -> set[str]:
    counts = Counter(names)
    for name, count in counts.items():
        if count > 1:
            raise ProfileError(f"the profile has the {what} {name!r} {count} times")
    return set(counts)
