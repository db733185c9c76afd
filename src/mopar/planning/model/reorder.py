"""A profile whose parallel branches stand in another order.

A plan's slices are runs of one order of the layers. Measured is one of them, the *canonical* order; what another order
takes follows from it: a layer's time and weights stay, and tensors live from where they are now made to where they are
now last read. Two figures have no exact counterpart:

- ``activation_bytes`` counts what passes over a layer in the new order instead of in the canonical one. Where a tensor
  no longer dies in a layer that wrote its result over it, the result needs room of its own: the layer's figure grows by
  what was saved, so it is a bound from above. A saving that only the new order allows is not counted.
- ``overhead_ms`` of a cut that the canonical order has too is kept. That of another is the sum of its tensors' parts,
  where a tensor's part is what explains the canonical cuts' figures best, by its bytes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np

from mopar.planning.model.boundary import last_use
from mopar.planning.numbers import Floats
from mopar.types import CutPosition, LayerProfile, Profile, TensorProfile

_RIDGE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Reordered(Profile):
    """A profile with its layers in another order; lives inside the planner only.

    Attributes:
        measured: the profile in canonical order, which its samples are counted in.
        order: the canonical number of each layer.
    """

    measured: Profile
    order: tuple[int, ...]


def reordered(profile: Profile, order: Sequence[int]) -> Profile:
    """The profile with its layers in ``order``, a permutation; linear in its size.

    A place is a cut position where what stands before it is all of some runs between canonical cut positions: what
    cannot travel between functions lives inside such runs.

    Args:
        profile: in canonical order.
        order: canonical numbers of the layers; each after those that it reads from.
    """
    if tuple(order) == tuple(range(len(profile.layers))):
        return profile
    place = {layer: position for position, layer in enumerate(order)}
    assert len(place) == len(order) == len(profile.layers), "an order has each layer once"
    tensors = tuple(_moved(tensor, place) for tensor in profile.tensors)
    kept = {field.name: getattr(profile, field.name) for field in fields(Profile)}
    changed = {
        "tensors": tensors,
        "layers": _layers(profile, order, tensors),
        "cut_positions": _cuts(profile, order, tensors),
    }
    return Reordered(**(kept | changed), measured=profile, order=tuple(order))


def in_order_of(placed: Profile, profile: Profile) -> Profile:
    """A canonical profile with its layers in the order of another one."""
    return reordered(profile, placed.order) if isinstance(placed, Reordered) else profile


def _moved(tensor: TensorProfile, place: dict[int, int]) -> TensorProfile:
    """The tensor as the new order makes and reads it; the request and the response stay at the ends."""
    producer = place.get(tensor.producer, tensor.producer)
    consumers = tuple(sorted(place.get(reader, reader) for reader in tensor.consumers))
    assert all(reader >= producer for reader in consumers), f"{tensor.name} is read before it is made"
    return replace(tensor, producer=producer, consumers=consumers)


def _layers(profile: Profile, order: Sequence[int], moved: Sequence[TensorProfile]) -> tuple[LayerProfile, ...]:
    before, after = passing_bytes(profile.tensors, len(order)), passing_bytes(moved, len(order))
    made = [replace(profile.layers[layer], index=position) for position, layer in enumerate(order)]
    savings = in_place_savings(profile)
    last = {tensor.name: last_use(tensor) for tensor in moved}
    for position, layer in enumerate(order):
        saved, dying = savings[layer]
        lost = min(saved, sum(tensor.bytes for tensor in dying if last[tensor.name] > position))
        held = made[position].activation_bytes + after[position] - before[layer] + lost
        made[position] = replace(made[position], activation_bytes=max(held, 0))
    return tuple(made)


def passing_bytes(tensors: Iterable[TensorProfile], count: int) -> list[int]:
    """For each of ``count`` layers, bytes of the tensors that are live while it runs, and that it does not touch."""
    change = [0] * (count + 1)
    read = [0] * count
    for tensor in tensors:
        first, last = tensor.producer + 1, last_use(tensor)
        if last <= first:
            continue
        change[first] += tensor.bytes
        change[last] -= tensor.bytes
        for reader in tensor.consumers:
            if first <= reader < last:
                read[reader] += tensor.bytes
    return (np.cumsum(change[:count]) - np.array(read)).tolist()  # type: ignore[no-any-return]


def in_place_savings(profile: Profile) -> list[tuple[int, tuple[TensorProfile, ...]]]:
    """For each layer: bytes by which its figure falls short of the tensors that it touches, and those that die in it.

    A layer that writes its result over what it reads is measured to hold less than both.
    """
    count = len(profile.layers)
    touched, dying = [0] * count, [list[TensorProfile]() for _ in range(count)]
    for tensor in profile.tensors:
        for layer in {tensor.producer, *tensor.consumers}:
            if 0 <= layer < count:
                touched[layer] += tensor.bytes
        last = last_use(tensor)
        if 0 <= tensor.producer < last < count:
            dying[last].append(tensor)
    passing = passing_bytes(profile.tensors, count)
    own = [layer.activation_bytes - passing[layer.index] for layer in profile.layers]
    return [(max(touched[n] - own[n], 0), tuple(dying[n])) for n in range(count)]


def _cuts(profile: Profile, order: Sequence[int], moved: Sequence[TensorProfile]) -> tuple[CutPosition, ...]:
    known = {cut.index: cut for cut in profile.cut_positions}
    runs = run_lengths(profile)
    parts = overhead_parts(profile)
    opened: dict[int, int] = {}
    found, furthest = [], 0
    for index, layer in enumerate(order[:-1], start=1):
        furthest = max(furthest, layer + 1)
        run, length = runs[layer]
        opened[run] = opened.get(run, 0) + 1
        if opened[run] == length:
            del opened[run]
        if opened:
            continue
        if furthest == index and index in known:
            found.append(known[index])
            continue
        across = [t for t in moved if 0 <= t.producer < index <= last_use(t)]
        overhead_ms = sum(parts[t.name] for t in across)
        found.append(CutPosition(index, tuple(t.name for t in across), sum(t.bytes for t in across), overhead_ms))
    return tuple(found)


def run_lengths(profile: Profile) -> list[tuple[int, int]]:
    """For each layer, the run between canonical cut positions that it is in: where it starts, and its length."""
    edges = [0, *(cut.index for cut in profile.cut_positions), len(profile.layers)]
    return [(start, stop - start) for start, stop in pairwise(edges) for _ in range(start, stop)]


def overhead_parts(profile: Profile) -> dict[str, float]:
    """Each tensor's part in the ``overhead_ms`` of cuts that it crosses; cubic in the tensors where any is known.

    Reorderings take time in proportion to bytes, so sought are the least rates per byte whose sums meet the canonical
    cuts' figures (least squares, with a little weight on the rates' own squares where the cuts leave them open).
    """
    names = [tensor.name for tensor in profile.tensors]
    target = np.array([cut.overhead_ms for cut in profile.cut_positions])
    if not target.any():
        return dict.fromkeys(names, 0.0)
    number = {name: column for column, name in enumerate(names)}
    size = np.array([float(tensor.bytes) for tensor in profile.tensors])
    size /= max(float(size.max()), 1.0)
    crosses: Floats = np.zeros((len(target), len(names)))
    for row, cut in enumerate(profile.cut_positions):
        crosses[row, [number[name] for name in cut.tensors]] = 1.0
    weighed = crosses * size
    rates = np.linalg.solve(weighed.T @ weighed + _RIDGE * np.eye(len(names)), weighed.T @ target)
    return dict(zip(names, np.maximum(rates * size, 0.0).tolist(), strict=True))
