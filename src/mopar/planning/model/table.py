"""Every possible slice of a profile, computed once: the search looks slices up instead of summing layers.

The array form of ``evaluate``. Matrices are indexed by two positions, start and stop; entries on or below the diagonal
are undefined. They take O(n^2) numbers and time for n positions. numpy is used only for speed: at 500 layers there are
125,000 slices, and the search sweeps them some hundred times, which plain loops would do in minutes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from mopar.planning.model.at_size import at_largest
from mopar.planning.model.calls import CallTime, Side, crossing_time
from mopar.planning.model.codings import code_bytes, library_sizes
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.memory import required_mib
from mopar.planning.model.objects import object_usd, request_objects_usd, whole_objects_usd
from mopar.planning.model.overhead import RuntimeOverhead
from mopar.planning.model.slice_tensors import SliceTensors
from mopar.planning.numbers import Floats, Indices
from mopar.types import Profile


@dataclass(frozen=True, slots=True)
class SliceNeeds:
    """Memory and transfers of slices, by start and stop.

    Attributes:
        resident_bytes, file_bytes: of the weights, in memory and in the built files.
        loading_ms: of the weights, with one CPU.
        active_bytes: peak bytes of live tensors, at the largest sizes.
        overhead_mib: see ``RuntimeOverhead``.
        library_mib: of what codecs need.
        input_bytes, output_bytes: of a call's tensors at the largest sizes, as they are sent.
        crossing: time that a call's tensors add to it.
        objects_usd: what those cost that become objects.
    """

    resident_bytes: Floats
    file_bytes: Floats
    loading_ms: Floats
    active_bytes: Floats
    overhead_mib: Floats
    library_mib: Floats
    input_bytes: Floats
    output_bytes: Floats
    crossing: CallTime[Floats]
    objects_usd: Floats

    def at(self, start: int, stop: int) -> "SliceNeeds":
        """A single slice, 1 by 1."""
        one = slice(start, start + 1), slice(stop, stop + 1)
        return SliceNeeds(
            resident_bytes=self.resident_bytes[one],
            file_bytes=self.file_bytes[one],
            loading_ms=self.loading_ms[one],
            active_bytes=self.active_bytes[one],
            overhead_mib=self.overhead_mib[one],
            library_mib=self.library_mib[one],
            input_bytes=self.input_bytes[one],
            output_bytes=self.output_bytes[one],
            crossing=CallTime(self.crossing.inside_ms[one], self.crossing.outside_ms[one]),
            objects_usd=self.objects_usd[one],
        )


@dataclass(frozen=True, slots=True)
class SliceTable:
    """Figures of each slice, at one whole CPU for each thread.

    Attributes:
        positions: layers at which a slice may start or stop, 0 and the number of layers included.
        needs: its memory and transfers.
        memory_mib: required memory, before headroom.
        inside_ms, outside_ms: a call's time inside and outside the function, with one thread.
        inside_two_ms: the time inside with two threads; with one where that is not known.
    """

    positions: tuple[int, ...]
    needs: SliceNeeds
    memory_mib: Floats
    inside_ms: Floats
    inside_two_ms: Floats
    outside_ms: Floats

    def at(self, start: int, stop: int) -> "SliceTable":
        """A table of a single slice, 1 by 1; its positions are the numbers of the slice's own."""
        names = (field.name for field in fields(self) if field.name not in {"positions", "needs"})
        values = (getattr(self, name)[start : start + 1, stop : stop + 1] for name in names)
        return SliceTable((start, stop), self.needs.at(start, stop), *values)


def slice_table(model: CostModel, positions: Sequence[int]) -> SliceTable:
    """The table for slices that start and stop at ``positions`` (ascending, first 0, last the layer count)."""
    points = np.array(positions)
    one, two = (np.array(elapsed)[points] for elapsed in (model.one_ms, model.two_ms))
    return table_of(
        model,
        positions,
        slice_needs(model, positions),
        elapsed=((one, one), (two, two)),
        cut_ms=np.array([model.cut_ms.get(position, 0.0) for position in positions]),
    )


def slice_needs(model: CostModel, positions: Sequence[int]) -> SliceNeeds:
    """Memory and transfers of slices between two of ``positions``."""
    profile, points = model.profile, np.array(positions)
    sized = at_largest(profile)
    tensors = SliceTensors(sized)
    inputs, read, read_codes, *entering = tensors.entering(
        positions, crossing_figures(model, sized, tensors.used, "consumer")
    )
    _, made, made_codes, *leaving = tensors.leaving(positions, crossing_figures(model, sized, tensors.used, "producer"))
    active = np.array([tensors.active_bytes(start, positions) for start in positions])
    live = np.array([tensors.live_bytes(start) for start in positions])
    return SliceNeeds(
        resident_bytes=_over_weights(profile, points, {one.name: one.resident_bytes for one in profile.weights}),
        file_bytes=_over_weights(profile, points, {one.name: one.file_bytes for one in profile.weights}),
        loading_ms=_over_weights(profile, points, model.loading.weights_ms),
        # Tensors that are live at a slice's start either enter the slice or pass over it.
        active_bytes=np.maximum(active - (live[:, None] - inputs), 0.0) + (read_codes + made_codes),
        overhead_mib=RuntimeOverhead(profile).table(points),
        library_mib=_libraries_mib(model, inputs, entering[3:], leaving[3:]),
        input_bytes=read,
        output_bytes=made,
        crossing=CallTime(entering[0] + leaving[0], entering[1] + leaving[1]),
        objects_usd=_objects_usd(model, entering[2] + leaving[2]),
    )


def _objects_usd(model: CostModel, crossing_usd: Floats) -> Floats:
    """Of slices: the unsplit model has nothing that runs it, and the first one is charged with the request's own."""
    found = crossing_usd.copy()
    found[0, -1] = whole_objects_usd(model)
    found[0] += request_objects_usd(model, None)
    return found


def crossing_figures(model: CostModel, sized: Profile, used: Sequence[int], side: Side) -> Floats:
    """For each used tensor, the columns of sums over tensors.

    Its bytes at the sizes of ``sized``, as sent at most and of its code; its crossing's times inside and outside, and
    its price as an object; for each size of libraries, whether its codec takes one.
    """
    libraries = library_sizes(model.codings)
    found = []
    for number in used:
        here, largest = model.profile.tensors[number], sized.tensors[number]
        coding = model.coding(here.name)
        time = crossing_time(model.call, float(here.bytes), side, coding)
        sent, codes = largest.bytes * coding.bound_ratio, code_bytes(model.codings, largest)
        usd = object_usd(model, here.name, float(here.bytes), side)
        takes = (float(coding.library_mib == size) for size in libraries)
        found.append((float(largest.bytes), sent, codes, time.inside_ms, time.outside_ms, usd, *takes))
    return np.array(found).reshape(len(found), 6 + len(libraries))


def _libraries_mib(model: CostModel, like: Floats, entering: Sequence[Floats], leaving: Sequence[Floats]) -> Floats:
    """Memory of the largest library that each slice's codecs take; ``like`` has the slices."""
    most: Floats = np.zeros_like(like)
    for size, read, made in zip(library_sizes(model.codings), entering, leaving, strict=True):
        most = np.maximum(most, size * ((read + made) > 0))
    return most


def table_of(
    model: CostModel,
    positions: Sequence[int],
    needs: SliceNeeds,
    *,
    elapsed: tuple[tuple[Floats, Floats], tuple[Floats, Floats]],
    cut_ms: Floats,
) -> SliceTable:
    """The table, from memory, transfers and engine times of slices.

    Args:
        model: its costs.
        positions: those of rows and columns.
        needs: of each slice.
        elapsed: with one thread and with two, engine time before each start, and before each stop.
        cut_ms: time that a cut at each start adds.
    """
    # Below the diagonal, which is undefined, the difference would be negative.
    one, two = (np.maximum(stops[None, :] - starts[:, None], 0.0) + cut_ms[:, None] for starts, stops in elapsed)
    times = model.times(model.call, one, two, needs.crossing)
    held_bytes = needs.resident_bytes + needs.active_bytes
    return SliceTable(
        positions=tuple(positions),
        needs=needs,
        memory_mib=required_mib(model.profile.runtime.base_mib, held_bytes, needs.overhead_mib + needs.library_mib),
        inside_ms=times.one_ms,
        inside_two_ms=times.two_ms,
        outside_ms=times.outside_ms,
    )


def _over_weights(profile: Profile, points: Indices, figures: Mapping[str, float]) -> Floats:
    """The sum of a figure over the weights of each slice, counting once a weight that several of its layers share."""
    count = len(profile.layers)
    first = np.zeros(count)
    again: list[tuple[int, int, float]] = []
    seen: dict[str, int] = {}
    for layer in profile.layers:
        for name in set(layer.weights):
            if name in seen:
                again.append((seen[name], layer.index, figures[name]))
            else:
                first[layer.index] += figures[name]
            seen[name] = layer.index
    rows = []
    for start in points:
        added = first.copy()
        for previous, index, figure in again:
            # Read earlier, but by no layer of a slice that starts here.
            if previous < start <= index:
                added[index] += figure
        total = np.concatenate(([0.0], np.cumsum(added)))
        rows.append(total[points] - total[start])
    return np.array(rows)
