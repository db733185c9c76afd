"""Required memory of a slice, predicted from the profile; headroom, and sizes that can be bought."""

import numpy as np
import numpy.typing as npt

from mopar.planning.arithmetic import MIB, Floats, Num, elapsed_ms, round_up
from mopar.planning.at_size import at_largest
from mopar.planning.boundary import last_use, slice_inputs, slice_outputs
from mopar.planning.reorder import Reordered
from mopar.types import PriceBook, Profile

HEADROOM_SHARE = 0.05
HEADROOM_MIN_MIB = 4.0
_LEAST_OF_USUAL = 0.5


def slice_memory_mib(profile: Profile, start: int, stop: int) -> float:
    """Predicted required memory, before headroom, of a function that holds layers ``start`` to ``stop`` alone."""
    profile = at_largest(profile)
    names = {name for layer in profile.layers[start:stop] for name in layer.weights}
    resident = sum(weight.resident_bytes for weight in profile.weights if weight.name in names)
    held = resident + active_bytes(profile, start, stop)
    return required_mib(profile, float(held), Extra(profile).of(start, stop))


def required_mib(profile: Profile, held_bytes: Num, extra_mib: Num) -> Num:
    """Required memory of a function that holds ``held_bytes`` of weights and tensors; at least the base.

    Args:
        profile: its ``runtime.base_mib``.
        held_bytes: weights and tensors of the function.
        extra_mib: what its process needs beyond them and the base (see ``Extra``).
    """
    above_mib = held_bytes / MIB + extra_mib
    return above_mib * (above_mib > 0) + profile.runtime.base_mib


def active_bytes(profile: Profile, start: int, stop: int) -> int:
    """The most bytes of tensors that layers ``start`` to ``stop`` hold while one of them runs.

    Boundary tensors count in full throughout: inputs stay until the answer is sent, outputs are bound
    before the run. Tensors that only pass over the slice are not in it.
    """
    inputs = [(last_use(tensor), tensor.bytes) for tensor in slice_inputs(profile, start, stop)]
    outputs = [(tensor.producer, tensor.bytes) for tensor in slice_outputs(profile, start, stop)]
    entering = {tensor.name for tensor in slice_inputs(profile, start, stop)}
    passing = sum(
        tensor.bytes
        for tensor in profile.tensors
        if tensor.producer < start and last_use(tensor) >= stop and tensor.name not in entering
    )
    most = 0
    for layer in profile.layers[start:stop]:
        held = layer.activation_bytes + layer.workspace_bytes
        held += sum(size for last, size in inputs if last < layer.index)
        held += sum(size for producer, size in outputs if producer > layer.index)
        most = max(most, held)
    return max(most - passing, 0)


class Extra:
    """What functions of a model need beyond the base, their weights and their tensors, in MiB.

    The engine's objects, kernels' code, fragments of the heap, and what reading ahead on a fault makes the
    kernel keep: it cannot be counted, so it is measured, for the whole model and for a few slices. A
    layer's part in the model is the mean of its shares of time and of resident weights. A slice is expected to
    need the mean of the measured slices that it overlaps, by the part it has in common with each; one
    larger than they are comes nearer to the whole's the larger it is.

    A measured slice that needs far less than the others do beyond its weights does not read all of them (a
    table of which requests gather some rows): what is missing is taken off its layers, by their weights.

    What is measured is told of each layer, so it goes with the layers where they stand in another order.
    """

    def __init__(self, profile: Profile) -> None:
        profile = at_largest(profile)
        order = profile.order if isinstance(profile, Reordered) else range(len(profile.layers))
        profile = profile.measured if isinstance(profile, Reordered) else profile
        count = len(profile.layers)
        resident = _resident_mib(profile)
        beyond = {
            sample: _beyond(profile, sample.start, sample.stop, sample.required_mib) for sample in profile.samples
        }
        usual = max(float(np.median(list(beyond.values()))), 0.0) if beyond else 0.0
        per_layer, unread = np.zeros(count), np.zeros(count)
        for sample, mib in beyond.items():
            span = slice(sample.start, sample.stop)
            plain = mib >= _LEAST_OF_USUAL * usual
            per_layer[span] = mib if plain else usual
            if not plain and resident[span].sum() > 0:
                unread[span] = (usual - mib) * resident[span] / resident[span].sum()
        self._whole = _beyond(profile, 0, count, profile.whole.memory_mib) + unread.sum()
        if not profile.samples:
            per_layer[:] = self._whole
        part = _parts(profile, resident)
        self.per_layer: Floats = np.stack([part, part * per_layer, unread])[:, list(order)]
        """What each layer adds to the sums that a slice's figure is made of: 3 x layers."""
        slices = sum(1.0 / sample.runs for sample in profile.samples)
        self._sampled = 1.0 / max(slices, 1.0)

    def of(self, start: int, stop: int) -> float:
        """Of layers ``start`` to ``stop`` (exclusive)."""
        return float(self.table(np.array([start, stop]))[0, 1])

    def table(self, points: npt.NDArray[np.int_]) -> Floats:
        """Of every slice between two of ``points``, by start and stop; nothing below the diagonal."""
        upto = np.concatenate([np.zeros((3, 1)), np.cumsum(self.per_layer, axis=1)], axis=1)[:, points]
        return self.between(upto, upto)

    def between(self, starts: Floats, stops: Floats) -> Floats:
        """Of slices, by start and stop, from the sums of ``per_layer`` over the layers before each of them."""
        parts, sums, unread = stops[:, None, :] - starts[:, :, None]
        mean: Floats = np.divide(sums, parts, out=np.zeros_like(sums), where=parts > 0)
        toward_whole = (parts - self._sampled) / (1.0 - self._sampled) if self._sampled < 1.0 else np.zeros_like(parts)
        extra: Floats = mean + np.clip(toward_whole, 0.0, 1.0) * (self._whole - mean) - unread
        return extra


def _parts(profile: Profile, resident: Floats) -> Floats:
    """Each layer's part in the model; they add up to 1."""
    time = np.diff(np.array(elapsed_ms(profile)))
    shares = [values / values.sum() for values in (time, resident) if values.sum() > 0]
    parts: Floats = sum(shares, np.zeros(len(resident))) / max(len(shares), 1)
    return parts


def _resident_mib(profile: Profile) -> Floats:
    """Resident weights of each layer, a shared weight at its first layer."""
    sizes = {weight.name: weight.resident_bytes / MIB for weight in profile.weights}
    return np.array([sum(sizes.pop(name, 0.0) for name in set(layer.weights)) for layer in profile.layers])


def _beyond(profile: Profile, start: int, stop: int, required_mib: float) -> float:
    names = {name for layer in profile.layers[start:stop] for name in layer.weights}
    resident = sum(weight.resident_bytes for weight in profile.weights if weight.name in names)
    return required_mib - profile.runtime.base_mib - (resident + active_bytes(profile, start, stop)) / MIB


def with_headroom(memory_mib: Num, share: float = HEADROOM_SHARE, minimum_mib: float = HEADROOM_MIN_MIB) -> Num:
    """``memory_mib`` plus ``share`` of it, at least ``minimum_mib`` more."""
    relative, absolute = memory_mib * (1 + share), memory_mib + minimum_mib
    # max(), for arrays too: where(a, b) is b + (a - b if a > b else 0).
    return absolute + (relative - absolute) * (relative > absolute)


def bought_mib(book: PriceBook, memory_mib: Num) -> Num:
    """The smallest size that can be bought with at least ``memory_mib``, were there no maximum."""
    above = memory_mib - book.memory_min_mib
    return round_up(above * (above > 0), float(book.memory_step_mib)) + book.memory_min_mib
