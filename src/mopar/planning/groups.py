"""Slices computed side by side: for every pair of positions, the quickest way through steps by so many functions.

A group of ``parts`` functions computes a slice in steps, one after the other: runs of layers that parts compute side by
side (``Profile.shards``), and between those, runs that its first function computes alone. Between two steps the parts
exchange what they made. For every start, dynamic programming over the later positions finds the steps whose latencies
add up to the least; what they cost and hold is then what it is. O(n x steps + n^3) time for n positions, O(n^2 x parts)
memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mopar.planning.arithmetic import (
    MIB,
    CallCosts,
    Floats,
    beside_ms,
    billed_ms,
    call_costs,
    elapsed_ms,
    found_cold_ms,
    held_usd_per_ms,
    init_ms,
    step_costs,
)
from mopar.planning.at_size import at_largest
from mopar.planning.boundary import last_use
from mopar.planning.memory import Extra, bought_mib, required_mib
from mopar.planning.parts import moved_bytes, share_bytes
from mopar.planning.sizes import Sizes, Sizing
from mopar.planning.table import SliceTable
from mopar.types import GraphPart, PlatformLimits, ShardStep, Share

Numbers = npt.NDArray[np.int64]

_NO_STEP = -1
_LEAST = -1e15
"""Less than any figure of a profile: the most of nothing."""
# What is kept of each part.
_BILLED, _CALLS, _RESIDENT, _FILES = range(4)
_ACTIVE, _EXTRA, _BODY, _SUMMED = range(4)
"""The last is the last layer that reads a summand that was made."""
_SUMS = _MOSTS = 4


@dataclass(frozen=True, slots=True)
class Group:
    """Every slice as ``parts`` functions side by side; matrices by start and stop, infinite where it cannot be.

    Attributes:
        parts: how many functions.
        memory_mib: of each, headroom included, as bought; ``cpu`` of each.
        cost_usd, latency_ms: of a slice.
        steps: that slices are made of.
        begins: the position where each of ``steps`` begins.
        last: the last step of a slice by its number in ``steps``; -1 where there is none.
        alone: the position from which on the first function computes the rest of a slice alone; its stop where none.
    """

    parts: int
    memory_mib: Floats
    cpu: Floats
    cost_usd: Floats
    latency_ms: Floats
    steps: tuple[ShardStep, ...]
    begins: Numbers
    last: Numbers
    alone: Numbers

    def sizes(self, start: int, stop: int) -> Sizes:
        """The one size of a slice between two positions, by their numbers."""
        memory, cpu, cost, latency = (
            matrix[start : start + 1, stop] for matrix in (self.memory_mib, self.cpu, self.cost_usd, self.latency_ms)
        )
        return Sizes(memory, cpu, np.ones(1), cost, latency)

    def path(self, start: int, stop: int) -> tuple[ShardStep, ...]:
        """The steps of a slice that its parts share, first to last."""
        found: list[ShardStep] = []
        while stop != start:
            stop = int(self.alone[start, stop])
            if stop != start:
                number = int(self.last[start, stop])
                found.append(self.steps[number])
                stop = int(self.begins[number])
        return tuple(found[::-1])


def groups_of(sizing: Sizing, limits: PlatformLimits, table: SliceTable, most: int | None) -> tuple[Group, ...]:
    """Groups of every number of parts that the profile knows and ``most`` functions allow.

    Parts get a whole CPU each, so there are none where functions are given less, and where functions share the cores of
    the profile's machine (a platform without call costs of its own is that machine), no more than it has.
    """
    if sizing.cpu is not None and sizing.cpu < 1:
        return ()
    counts = sorted({len(step.parts) for step in sizing.profile.shards})
    if limits.hop_ms is None:
        counts = [count for count in counts if count <= sizing.profile.machine.cores]
    costs = call_costs(sizing.profile, limits), step_costs(sizing.profile, limits)
    beside = np.array(beside_ms(sizing.profile, limits))
    counts = [parts for parts in counts if most is None or parts <= most]
    found = [_Grouping(sizing, costs, table, beside, parts).group(limits) for parts in counts]
    return tuple(group for group in found if group is not None)


@dataclass(frozen=True, slots=True)
class _Held:
    """What parts have come to, or a step adds; the last axis is the part's.

    Attributes:
        latency_ms: of all together, without the last axis; infinite where it cannot be.
        sums: what adds up, by ``_BILLED`` and so on, and part.
        most: of what the largest counts, by ``_ACTIVE`` and so on, and part.
    """

    latency_ms: Floats
    sums: Floats
    most: Floats

    @classmethod
    def nothing(cls, shape: tuple[int, ...], parts: int) -> "_Held":
        """Nowhere reached yet, and nothing computed."""
        sums, most = np.zeros((*shape, _SUMS, parts)), np.full((*shape, _MOSTS, parts), _LEAST)
        return cls(np.full(shape, np.inf), sums, most)

    def keep(self, stop: int, row: "_Held", where: npt.NDArray[np.bool_]) -> None:
        """Take over what was reached at a stop from some of the starts."""
        self.latency_ms[stop, where] = row.latency_ms[where]
        self.sums[stop, where], self.most[stop, where] = row.sums[where], row.most[where]


@dataclass(frozen=True, slots=True)
class _Ways:
    """Steps, or runs of the first part alone: ``begins``, and what each adds as a slice's first step, and further on.

    Both hold the same but for latency and what is billed.
    """

    begins: Numbers
    first: _Held
    later: _Held


class _Grouping:
    """Makes the group of one number of parts."""

    def __init__(
        self, sizing: Sizing, costs: tuple[CallCosts, CallCosts], table: SliceTable, beside: Floats, parts: int
    ) -> None:
        self._sizing, self._costs, self._table, self._beside, self._parts = sizing, costs, table, beside, parts
        self._profile = sizing.profile
        self._count = len(table.positions)
        self._number = {position: number for number, position in enumerate(table.positions)}
        self._steps = tuple(step for step in sizing.profile.shards if self._usable(step))
        self._elapsed = np.array(elapsed_ms(sizing.profile))
        self._overhead = {cut.index: cut.overhead_ms for cut in sizing.profile.cut_positions}
        self._tensors = {tensor.name: tensor for tensor in sizing.profile.tensors}
        self._largest = {tensor.name: tensor for tensor in at_largest(sizing.profile).tensors}
        self._extra = Extra(sizing.profile).table(np.array(table.positions))
        summed = any(share.summand for step in self._steps for part in step.parts for share in part.part.outputs)
        # What enters may be a summand of every part.
        self._copies = parts if summed else 1

    def _usable(self, step: ShardStep) -> bool:
        """Whether it is of so many parts, lies between positions, and leaves the model's outputs whole."""
        outputs = {spec.name for spec in self._profile.outputs}
        shares = [share for part in step.parts for share in part.part.outputs if share.tensor in outputs]
        return (
            len(step.parts) == self._parts
            and {step.start, step.stop} <= self._number.keys()
            and not any(share.summand or share.axis is not None for share in shares)
        )

    def group(self, limits: PlatformLimits) -> Group | None:
        if not self._steps:
            return None
        count = self._count
        # By stop, then start: the best way that ends with a step, and the best way.
        stepped, best = (_Held.nothing((count, count), self._parts) for _ in range(2))
        last, alone = np.full((count, count), _NO_STEP), np.tile(np.arange(count), (count, 1))
        begins = np.array([self._number[step.start] for step in self._steps])
        ends = np.array([self._number[step.stop] for step in self._steps])
        for stop in range(1, count):
            ending = np.flatnonzero(ends == stop)
            if len(ending):
                row, chosen = _arrive(self._together(ending, begins[ending]), best)
                last[:, stop] = ending[chosen]
                everywhere = np.ones(count, dtype=bool)
                stepped.keep(stop, row, everywhere)
                best.keep(stop, row, everywhere)
            row, chosen = _arrive(self._alone(stop), stepped)
            sooner = row.latency_ms < best.latency_ms[stop]
            alone[sooner, stop] = chosen[sooner]
            best.keep(stop, row, sooner)
        return self._priced(limits, best, (begins, last, alone))

    def _alone(self, stop: int) -> _Ways:
        """Runs of the first part, from every earlier position."""
        table, begins = self._table, np.arange(stop)
        compute = self._elapsed[table.positions[stop]] - self._elapsed[np.array(table.positions[:stop])]
        entering, leaving = table.input_bytes[:stop, stop], table.output_bytes[:stop, stop]
        shape = (stop, 1)
        sums, most = np.zeros((stop, _SUMS, self._parts)), np.full((stop, _MOSTS, self._parts), _LEAST)
        sums[:, _CALLS, 0] = 1.0
        sums[:, _RESIDENT, 0], sums[:, _FILES, 0] = table.resident_bytes[:stop, stop], table.file_bytes[:stop, stop]
        most[:, _ACTIVE, 0], most[:, _EXTRA, 0] = table.active_bytes[:stop, stop], self._extra[:stop, stop]
        most[:, _BODY, 0] = np.maximum(entering * self._copies, leaving)
        return self._ways(begins, compute.reshape(shape), table.body_bytes[:stop, stop].reshape(shape), sums, most)

    def _together(self, numbers: Numbers, begins: Numbers) -> _Ways:
        """Steps by their numbers."""
        shape = (len(numbers), self._parts)
        compute, body = np.zeros(shape), np.zeros(shape)
        sums, most = np.zeros((len(numbers), _SUMS, self._parts)), np.full((len(numbers), _MOSTS, self._parts), _LEAST)
        for at, number in enumerate(numbers.tolist()):
            step = self._steps[number]
            whole_ms = self._beside[step.stop] - self._beside[step.start]
            for one, needs in enumerate(step.parts):
                if not needs.part.outputs:
                    continue
                place = needs.part
                entering, leaving = (self._most_bytes(shares) for shares in (place.inputs, place.outputs))
                compute[at, one], body[at, one] = needs.time_share * whole_ms, self._moved_bytes(place)
                sums[at, [_CALLS, _RESIDENT, _FILES], one] = 1.0, needs.resident_bytes, needs.file_bytes
                most[at, _ACTIVE, one] = needs.activation_bytes
                most[at, _EXTRA, one] = self._extra[begins[at], self._number[step.stop]]
                most[at, _BODY, one] = max(entering * self._copies, leaving)
                summed = [last_use(self._tensors[share.tensor]) for share in needs.part.outputs if share.summand]
                most[at, _SUMMED, one] = max(summed, default=_LEAST)
        return self._ways(begins, compute, body, sums, most)

    def _moved_bytes(self, part: GraphPart) -> float:
        """Of a part's call, both ways, at the measured point."""
        entering = sum(share_bytes(self._tensors[share.tensor], share) for share in part.inputs)
        return entering + sum(moved_bytes(self._tensors[share.tensor], share, part) for share in part.outputs)

    def _most_bytes(self, shares: Sequence[Share]) -> float:
        """At the largest sizes."""
        return sum(share_bytes(self._largest[share.tensor], share) for share in shares)

    def _ways(self, begins: Numbers, compute_ms: Floats, body: Floats, sums: Floats, most: Floats) -> _Ways:
        """Ways whose calls compute so long and move so many bytes: ways x parts, or x 1 where the first is alone."""
        overhead = np.array([self._overhead.get(self._table.positions[begin], 0.0) for begin in begins.tolist()])
        compute, body_mib = compute_ms + overhead[:, None], body / MIB
        calls = sums[:, _CALLS]
        held = []
        for costs in self._costs:
            cold, woken = found_cold_ms(costs, compute, float(self._elapsed[-1]))
            inside = compute + costs.inside_ms + cold + body_mib * costs.inside_ms_per_mib
            outside = costs.outside_ms + woken + body_mib * costs.outside_ms_per_mib
            billed = sums.copy()
            billed[:, _BILLED] = billed_ms(self._sizing.book, inside) * calls
            held.append(_Held(((inside + outside) * calls).max(axis=1), billed, most))
        return _Ways(begins, *held)

    def _priced(self, limits: PlatformLimits, best: _Held, way: tuple[Numbers, Numbers, Numbers]) -> Group:
        sizing, book, profile = self._sizing, self._sizing.book, self._profile
        latency, sums, most = best.latency_ms.T, best.sums.swapaxes(0, 1), best.most.swapaxes(0, 1)
        billed, calls, resident, files = (sums[:, :, number] for number in (_BILLED, _CALLS, _RESIDENT, _FILES))
        held = required_mib(profile, resident + most[:, :, _ACTIVE], most[:, :, _EXTRA])
        memory, cpu = _with_a_cpu(sizing, sizing.floor_mib(held.max(axis=2)))
        bought = np.where(np.isfinite(memory), memory, 0.0)
        init = init_ms(profile, files)
        per_ms = held_usd_per_ms(book, bought, cpu)[:, :, None]
        cold_rate = book.cold_rate if book.init_billed else 0.0
        cost = (per_ms * (billed + calls * init * cold_rate) + calls * book.request_usd).sum(axis=2)
        allowed = np.isfinite(latency) & np.isfinite(memory) & (calls > 0).all(axis=2) & (memory <= book.memory_max_mib)
        if limits.payload_bytes is not None:
            allowed &= most[:, :, _BODY].max(axis=2) * limits.payload_factor <= limits.payload_bytes
            # Who reads summands takes in one of each part: other slices do not count with that.
            allowed &= most[:, :, _SUMMED].max(axis=2) < np.array(self._table.positions)
        if limits.package_bytes is not None:
            allowed &= (files + limits.package_base_bytes <= limits.package_bytes).all(axis=2)
        cost, latency = (np.where(allowed, values, np.inf) for values in (cost, latency))
        return Group(self._parts, memory, cpu, cost, latency, self._steps, *way)


def _arrive(ways: _Ways, held: _Held) -> tuple[_Held, Numbers]:
    """The quickest way to one position from every start, and which of ``ways`` is its last; from a start, its first."""
    reached = held.latency_ms[ways.begins] + ways.later.latency_ms[:, None]
    reached[np.arange(len(ways.begins)), ways.begins] = ways.first.latency_ms
    chosen = np.argmin(reached, axis=0)
    starts = np.arange(len(chosen))
    begins = ways.begins[chosen]
    first = (begins == starts)[:, None, None]
    sums = np.where(first, ways.first.sums[chosen], held.sums[begins, starts] + ways.later.sums[chosen])
    most = np.where(first, ways.first.most[chosen], np.maximum(held.most[begins, starts], ways.later.most[chosen]))
    return _Held(reached[chosen, starts], sums, most), chosen


def _with_a_cpu(sizing: Sizing, floor_mib: Floats) -> tuple[Floats, Floats]:
    """The smallest sizes that hold ``floor_mib`` and give a whole CPU, and their CPUs; infinite where none does."""
    book = sizing.book
    if book.mib_per_vcpu is not None:
        memory = np.maximum(floor_mib, bought_mib(book, book.mib_per_vcpu))
        return memory, memory / book.mib_per_vcpu
    memory, cpu = np.full_like(floor_mib, np.inf), np.ones_like(floor_mib)
    for size in sorted((size for size in sizing.cpu_sizes if size.cpu >= 1), key=lambda one: one.cpu):
        wanted = np.maximum(floor_mib, bought_mib(book, float(size.memory_min_mib)))
        fits = np.isinf(memory) & (wanted <= (size.memory_max_mib or np.inf))
        memory, cpu = np.where(fits, wanted, memory), np.where(fits, size.cpu, cpu)
    return memory, cpu
