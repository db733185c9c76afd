"""Measured memory of a function's process beyond its weights and tensors."""

import numpy as np

from mopar.planning.model.at_size import at_largest
from mopar.planning.model.memory import active_bytes, first_read_bytes, weight_bytes
from mopar.planning.model.times import elapsed_ms
from mopar.planning.numbers import MIB, Floats, Indices
from mopar.types import Profile

_LEAST_OF_USUAL = 0.5
"""A measured slice whose overhead is below this share of the others' does not read all of its weights."""


class RuntimeOverhead:
    """Memory of a model's functions beyond the base, their weights and their tensors, in MiB.

    It consists of the engine's objects, kernels' code, fragmentation of the heap, and pages kept by read-ahead on
    faults. It cannot be computed, so it is measured, for the unsplit model and for a few slices. A layer's part in the
    model is the mean of its shares of time and of the weights that are read. A slice's prediction is the mean over the
    measured slices that it overlaps, weighted by the overlapping part; for a slice larger than they are, it approaches
    the unsplit model's the larger the slice is.

    A measured slice that needs far less beyond its weights than the others does not read all of them (a table of which
    requests gather some rows): the difference, at most its weights, is subtracted from its layers, by their weights.
    """

    def __init__(self, profile: Profile) -> None:
        profile = at_largest(profile)
        count = len(profile.layers)
        resident = np.array(first_read_bytes(profile)) / MIB
        beyond = {
            sample: _beyond(profile, sample.start, sample.stop, sample.required_mib) for sample in profile.samples
        }
        usual = max(float(np.median(list(beyond.values()))), 0.0) if beyond else 0.0
        per_layer, unread = np.zeros(count), np.zeros(count)
        for sample, mib in beyond.items():
            span = slice(sample.start, sample.stop)
            held = resident[span].sum()
            missing = 0.0 if mib >= _LEAST_OF_USUAL * usual else min(usual - mib, held)
            per_layer[span] = mib + missing
            if missing:
                unread[span] = missing * resident[span] / held
        self._whole = _beyond(profile, 0, count, profile.whole.memory_mib) + unread.sum()
        if not profile.samples:
            per_layer[:] = self._whole
        part = _parts(profile, resident - unread)
        # Prefix sums over layers of the terms that a slice's figure consists of.
        per_position = np.cumsum(np.stack([part, part * per_layer, unread]), axis=1)
        self._upto: Floats = np.concatenate([np.zeros((3, 1)), per_position], axis=1)
        self._sampled = 1.0 / max(len(profile.samples), 1)

    def of(self, start: int, stop: int) -> float:
        """Overhead of layers ``start`` to ``stop`` (exclusive)."""
        return float(self.table(np.array([start, stop]))[0, 1])

    def table(self, points: Indices) -> Floats:
        """Overhead of every slice between two of ``points``, by start and stop; the lower triangle is undefined."""
        upto = self._upto[:, points]
        parts, sums, unread = upto[:, None, :] - upto[:, :, None]
        mean: Floats = np.divide(sums, parts, out=np.zeros_like(sums), where=parts > 0)
        toward_whole = (parts - self._sampled) / (1.0 - self._sampled) if self._sampled < 1.0 else np.zeros_like(parts)
        overhead: Floats = mean + np.clip(toward_whole, 0.0, 1.0) * (self._whole - mean) - unread
        return overhead


def _parts(profile: Profile, read: Floats) -> Floats:
    """Each layer's part in the model, by its time and the weights that it reads; they add up to 1."""
    time = np.diff(np.array(elapsed_ms(profile)))
    shares = [values / values.sum() for values in (time, read) if values.sum() > 0]
    parts: Floats = sum(shares, np.zeros(len(read))) / max(len(shares), 1)
    return parts


def _beyond(profile: Profile, start: int, stop: int, required_mib: float) -> float:
    """Measured memory of a slice beyond what can be computed."""
    held = weight_bytes(profile, [(start, stop)]) + active_bytes(profile, start, stop)
    return required_mib - profile.runtime.base_mib - held / MIB
