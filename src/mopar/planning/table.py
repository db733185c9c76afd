"""Every possible slice of a profile, measured once: the search looks slices up instead of summing layers.

Matrices are indexed by two positions, start and stop; what lies on or below the diagonal means nothing. They
take O(n^2) numbers and time for n positions. numpy is here for speed alone: at 500 layers there are 125,000 slices, and
the search sweeps them some hundred times, which plain loops would do in minutes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from mopar.planning.arithmetic import MIB, CallCosts, Floats, elapsed_ms, found_cold_ms, has_two_threads, init_ms
from mopar.planning.at_size import at_largest
from mopar.planning.boundary import last_use
from mopar.planning.memory import Extra, required_mib
from mopar.types import Profile


@dataclass(frozen=True, slots=True)
class SliceTable:
    """What each slice needs, at one whole CPU for each thread.

    Attributes:
        positions: layers at which a slice may start or stop, 0 and the number of layers included.
        memory_mib: required memory, before headroom.
        inside_ms, outside_ms: a call's time inside and outside the function, with one thread.
        inside_two_ms: the time inside with two threads; that with one where it is not known.
        input_bytes, output_bytes: of a call's tensors at the largest sizes, not encoded.
        file_bytes: of the weights in the built files.
        init_ms: from exec to ready.
        resident_bytes: of the weights in memory.
        active_bytes: the most that tensors take, at the largest sizes.
        body_bytes: of a call's tensors at the measured point, both ways.
    """

    positions: tuple[int, ...]
    memory_mib: Floats
    inside_ms: Floats
    inside_two_ms: Floats
    outside_ms: Floats
    input_bytes: Floats
    output_bytes: Floats
    file_bytes: Floats
    init_ms: Floats
    resident_bytes: Floats
    active_bytes: Floats
    body_bytes: Floats

    def at(self, start: int, stop: int) -> "SliceTable":
        """A table of a single slice, 1 by 1; its positions are the numbers of those that it lies between."""
        values = (getattr(self, field.name) for field in fields(self) if field.name != "positions")
        return SliceTable((start, stop), *(column[start : start + 1, stop : stop + 1] for column in values))


def slice_table(profile: Profile, costs: CallCosts, positions: Sequence[int]) -> SliceTable:
    """The table for slices that start and stop at ``positions`` (ascending, first 0, last the layer count)."""
    points = np.array(positions)
    overheads = {cut.index: cut.overhead_ms for cut in profile.cut_positions}
    sized = at_largest(profile)
    tensors = _Tensors(sized)
    inputs, outputs = tensors.inputs(positions), tensors.outputs(positions)
    active = np.array([tensors.active_bytes(start, positions) for start in positions])
    live = np.array([tensors.live_bytes(start) for start in positions])
    here = tensors if sized is profile else _Tensors(profile)
    resident = _weights(profile, {weight.name: weight.resident_bytes for weight in profile.weights}, points)
    one, two = (np.array(elapsed)[points] for elapsed in elapsed_of(profile))
    return priced_table(
        profile,
        costs,
        positions,
        elapsed=((one, one), (two, two)),
        overhead=np.array([overheads.get(position, 0.0) for position in positions]),
        # Tensors that are live where a slice starts either enter it or pass over it.
        active_bytes=np.maximum(active - (live[:, None] - inputs), 0.0),
        resident_bytes=resident,
        extra_mib=Extra(profile).table(points),
        input_bytes=inputs,
        output_bytes=outputs,
        body_bytes=inputs + outputs if here is tensors else here.inputs(positions) + here.outputs(positions),
        file_bytes=_weights(profile, {weight.name: weight.file_bytes for weight in profile.weights}, points),
    )


def elapsed_of(profile: Profile) -> tuple[list[float], list[float]]:
    """Engine time of the first layers with one thread and with two; twice the same where two are not known."""
    one = elapsed_ms(profile)
    return one, elapsed_ms(profile, 2) if has_two_threads(profile) else one


def priced_table(
    profile: Profile,
    costs: CallCosts,
    positions: Sequence[int],
    *,
    elapsed: tuple[tuple[Floats, Floats], tuple[Floats, Floats]],
    overhead: Floats,
    resident_bytes: Floats,
    active_bytes: Floats,
    extra_mib: Floats,
    input_bytes: Floats,
    output_bytes: Floats,
    body_bytes: Floats,
    file_bytes: Floats,
) -> SliceTable:
    """The table, from what slices hold, move and compute.

    Args:
        profile: of the model.
        costs: of a call.
        positions: that the columns stand for.
        elapsed: with one thread and with two, engine time before each start, and before each stop; the last stop's is
            the whole's.
        overhead: ``overhead_ms`` of a cut at each start.
        resident_bytes: of the weights of each slice, as all that follows.
        active_bytes: the most that its tensors take.
        extra_mib: see ``Extra``.
        input_bytes: that enter, at the largest sizes.
        output_bytes: that leave, at the largest sizes.
        body_bytes: that enter and leave at the measured point.
        file_bytes: of weights in the built file.
    """
    (one, woken), (two, _) = (_inside_ms(starts, stops, overhead, costs) for starts, stops in elapsed)
    body_mib = body_bytes / MIB
    return SliceTable(
        positions=tuple(positions),
        memory_mib=required_mib(profile, resident_bytes + active_bytes, extra_mib),
        inside_ms=one + body_mib * costs.inside_ms_per_mib,
        inside_two_ms=two + body_mib * costs.inside_ms_per_mib,
        outside_ms=body_mib * costs.outside_ms_per_mib + costs.outside_ms + woken,
        input_bytes=input_bytes,
        output_bytes=output_bytes,
        file_bytes=file_bytes,
        init_ms=init_ms(profile, file_bytes),
        resident_bytes=resident_bytes,
        active_bytes=active_bytes,
        body_bytes=body_bytes,
    )


def _inside_ms(starts: Floats, stops: Floats, overhead: Floats, costs: CallCosts) -> tuple[Floats, Floats]:
    """A call's time inside the function without what its tensors add, and what waking up adds outside."""
    # Below the diagonal, which means nothing, it would be negative.
    compute = np.maximum(stops[None, :] - starts[:, None], 0.0) + overhead[:, None]
    cold, woken = found_cold_ms(costs, compute, float(stops[-1]))
    return compute + costs.inside_ms + cold, woken


def _weights(profile: Profile, sizes: dict[str, int], points: npt.NDArray[np.int_]) -> Floats:
    """Bytes of the weights of each slice, a weight that several of its layers share once."""
    count = len(profile.layers)
    first = np.zeros(count)
    again: list[tuple[int, int, int]] = []
    seen: dict[str, int] = {}
    for layer in profile.layers:
        for name in set(layer.weights):
            if name in seen:
                again.append((seen[name], layer.index, sizes[name]))
            else:
                first[layer.index] += sizes[name]
            seen[name] = layer.index
    rows = []
    for start in points:
        added = first.copy()
        for previous, index, size in again:
            # Read before, but by no layer of a slice that starts here.
            if previous < start <= index:
                added[index] += size
        total = np.concatenate(([0.0], np.cumsum(added)))
        rows.append(total[points] - total[start])
    return np.array(rows)


class _Tensors:
    """Boundary tensors of one profile as arrays over layers; the same definitions as in ``memory`` and ``boundary``."""

    def __init__(self, profile: Profile) -> None:
        self._count = len(profile.layers)
        used = [tensor for tensor in profile.tensors if tensor.consumers]
        self._producer = np.array([tensor.producer for tensor in used], dtype=np.int64)
        self._last = np.array([last_use(tensor) for tensor in used], dtype=np.int64)
        self._bytes = np.array([tensor.bytes for tensor in used], dtype=np.float64)
        self._readers = [np.array(sorted(tensor.consumers)) for tensor in used]
        self._held = np.array([float(layer.activation_bytes + layer.workspace_bytes) for layer in profile.layers])
        self._made = self._by_last_use()

    def _by_last_use(self) -> list[list[tuple[int, float]]]:
        """For each position, the tensors that are live across it, latest made first: (producer, bytes)."""
        order = np.argsort(-self._producer, kind="stable")
        live: list[list[tuple[int, float]]] = []
        for position in range(self._count + 1):
            across = order[(self._producer[order] < position) & (self._last[order] >= position)]
            live.append(list(zip(self._producer[across].tolist(), self._bytes[across].tolist(), strict=True)))
        return live

    def inputs(self, positions: Sequence[int]) -> Floats:
        """Of each slice between two of ``positions``, by start and stop: what enters it."""
        points = np.array(positions)
        return np.array([self.input_bytes(start)[points] for start in positions])

    def outputs(self, positions: Sequence[int]) -> Floats:
        """Of each slice, by start and stop: what leaves it."""
        points = np.array(positions)
        return np.array([self.output_bytes(stop)[points] for stop in positions]).T

    def live_bytes(self, start: int) -> float:
        """Tensors made before ``start`` and read at or after it."""
        return sum(size for _, size in self._made[start])

    def input_bytes(self, start: int) -> Floats:
        """For each stop 0 .. count: tensors made before ``start`` and read in [start, stop)."""
        added = np.zeros(self._count + 2)
        for number in np.flatnonzero((self._producer < start) & (self._last >= start)):
            readers = self._readers[number]
            # The first reader at or after the start; the response, at ``count``, is in no slice.
            added[readers[np.searchsorted(readers, start)] + 1] += self._bytes[number]
        return np.cumsum(added)[: self._count + 1]

    def output_bytes(self, stop: int) -> Floats:
        """For each start 0 .. count: tensors made in [start, stop) and read at or after ``stop``."""
        added = np.zeros(self._count + 1)
        for producer, size in self._made[stop]:
            if producer >= 0:
                added[producer] += size
        return np.cumsum(added[::-1])[::-1]

    def active_bytes(self, start: int, positions: Sequence[int]) -> list[float]:
        """For each stop in ``positions``: the most bytes held while a layer of [start, stop) runs.

        Tensors that pass over the slice are still in it. Inputs that no later layer reads stay; outputs are there
        from the beginning, so layers before an output's producer hold it too.
        """
        entering = (self._producer < start) & (self._last >= start) & (self._last < self._count)
        finished = np.bincount(self._last[entering] + 1, weights=self._bytes[entering], minlength=self._count + 1)
        held = (self._held + np.cumsum(finished)[: self._count]).tolist()
        so_far = np.concatenate((np.zeros(start), np.maximum.accumulate(held[start:]))).tolist()
        most = []
        for stop in positions:
            peak, bound, upto = 0.0, 0.0, stop
            for producer, size in self._made[stop] if stop > start else ():
                if producer < start:
                    break
                peak = max(peak, max(held[producer:upto], default=0.0) + bound)
                bound, upto = bound + size, producer
            most.append(max(peak, so_far[upto - 1] + bound) if upto > start else peak)
        return most
