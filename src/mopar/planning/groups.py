"""Slices computed side by side: for every pair of positions, the quickest way through steps by so many functions.

A group of ``parts`` functions computes a slice in steps, one after the other: runs of layers that parts compute side by
side (``Profile.shards``), and runs that its first function computes alone. Between two steps the parts exchange what
they made. For every start, dynamic programming over the later positions finds the steps whose latencies add up to the
least. O(n x steps + n^3) time for n positions, O(n^2 x parts) memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mopar.planning.arithmetic import (
    MIB,
    CallCosts,
    Floats,
    billed_ms,
    call_costs,
    cold_part,
    elapsed_ms,
    held_usd_per_ms,
    init_ms,
    step_costs,
)
from mopar.planning.memory import Extra, bought_mib, required_mib
from mopar.planning.parts import share_bytes
from mopar.planning.sizes import Sizes, Sizing
from mopar.planning.table import SliceTable
from mopar.types import PlatformLimits, ShardStep

_ALONE = -1


@dataclass(frozen=True, slots=True)
class Group:
    """Every slice as ``parts`` functions side by side; matrices by start and stop, infinite where it cannot be.

    Attributes:
        parts: how many functions.
        memory_mib: of each, headroom included, as bought; ``cpu`` of each.
        cost_usd, latency_ms: of a slice.
        before: the position where the last step begins.
        last: the last step by its number in ``steps``; -1 where the first function computes alone.
        steps: that slices are made of.
    """

    parts: int
    memory_mib: Floats
    cpu: Floats
    cost_usd: Floats
    latency_ms: Floats
    before: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    steps: tuple[ShardStep, ...]

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
            if self.last[start, stop] != _ALONE:
                found.append(self.steps[self.last[start, stop]])
            stop = int(self.before[start, stop])
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
    found = [_Grouping(sizing, costs, table, parts).group(limits) for parts in counts if most is None or parts <= most]
    return tuple(group for group in found if group is not None)


@dataclass(slots=True)
class _Held:
    """What the parts of the best way to one position have come to, by start (rows) and part (columns)."""

    latency_ms: Floats
    billed_ms: Floats
    calls: Floats
    resident: Floats
    active: Floats
    files: Floats
    body: Floats


@dataclass(frozen=True, slots=True)
class _Way:
    """A step, or a run that the first part computes alone: what it adds for each part; ``first_``: as the first one."""

    begin: int
    step: int
    latency_ms: float
    billed_ms: Floats
    first_latency_ms: float
    first_billed_ms: Floats
    calls: Floats
    resident: Floats
    active: Floats
    files: Floats
    body: float


class _Grouping:
    """Makes the group of one number of parts."""

    def __init__(self, sizing: Sizing, costs: tuple[CallCosts, CallCosts], table: SliceTable, parts: int) -> None:
        self._sizing, self._costs, self._table, self._parts = sizing, costs, table, parts
        self._profile = sizing.profile
        self._number = {position: number for number, position in enumerate(table.positions)}
        self._steps = tuple(step for step in sizing.profile.shards if self._usable(step))
        self._elapsed = elapsed_ms(sizing.profile)
        self._overhead = {cut.index: cut.overhead_ms for cut in sizing.profile.cut_positions}
        self._tensors = {tensor.name: tensor for tensor in sizing.profile.tensors}

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
        ways = self._ways()
        count = len(self._table.positions)
        before, last = np.zeros((count, count), dtype=np.int64), np.full((count, count), _ALONE)
        held = [self._nothing(count)]
        for stop in range(1, count):
            held.append(self._arrive(stop, ways[stop], held, before, last))
        return self._priced(limits, held, before, last)

    def _ways(self) -> list[list[_Way]]:
        """By the position where they end."""
        ways: list[list[_Way]] = [[] for _ in self._table.positions]
        for stop in range(1, len(ways)):
            ways[stop] = [self._alone(begin, stop) for begin in range(stop)]
        for number, step in enumerate(self._steps):
            ways[self._number[step.stop]].append(self._together(number, step))
        return ways

    def _alone(self, begin: int, stop: int) -> _Way:
        table, first = self._table, np.eye(1, self._parts)[0]
        at = table.positions
        body = float(table.input_bytes[begin, stop] + table.output_bytes[begin, stop])
        (latency, billed), (later_ms, later_billed) = self._times(
            at[begin], np.array([self._elapsed[at[stop]] - self._elapsed[at[begin]]]), np.array([body])
        )
        return _Way(
            begin,
            _ALONE,
            float(later_ms[0]),
            first * later_billed[0],
            float(latency[0]),
            first * billed[0],
            first,
            first * float(table.resident_bytes[begin, stop]),
            first * float(table.active_bytes[begin, stop]),
            first * float(table.file_bytes[begin, stop]),
            float(max(table.input_bytes[begin, stop], table.output_bytes[begin, stop])),
        )

    def _together(self, number: int, step: ShardStep) -> _Way:
        parts = step.parts
        whole_ms = self._elapsed[step.stop] - self._elapsed[step.start]
        calls = np.array([float(bool(part.part.outputs)) for part in parts])
        entering, leaving = (
            np.array([sum(share_bytes(self._tensors[one.tensor], one) for one in shares) for shares in side])
            for side in ([part.part.inputs for part in parts], [part.part.outputs for part in parts])
        )
        compute = np.array([part.time_share for part in parts]) * whole_ms
        (latency, billed), (later_ms, later_billed) = self._times(step.start, compute, entering + leaving)
        return _Way(
            self._number[step.start],
            number,
            float(np.max(later_ms * calls)),
            later_billed * calls,
            float(np.max(latency * calls)),
            billed * calls,
            calls,
            np.array([float(part.resident_bytes) for part in parts]),
            np.array([float(part.activation_bytes) for part in parts]),
            np.array([float(part.file_bytes) for part in parts]),
            # What enters may be summands of every part.
            float(np.maximum(entering * self._parts, leaving).max()),
        )

    def _times(self, start: int, compute_ms: Floats, body: Floats) -> list[tuple[Floats, Floats]]:
        """Latency and bill of calls that compute so long and move so many bytes: as a first step, and further on."""
        compute, body_mib = compute_ms + self._overhead.get(start, 0.0), body / MIB
        cold = cold_part(compute, self._elapsed[-1])
        found = []
        for costs in self._costs:
            inside = compute + costs.inside_ms + cold * costs.cold_ms + body_mib * costs.inside_ms_per_mib
            outside = costs.outside_ms + cold * costs.wake_ms + body_mib * costs.outside_ms_per_mib
            found.append((inside + outside, billed_ms(self._sizing.book, inside)))
        return found

    def _nothing(self, count: int) -> _Held:
        """Nothing yet: only the start itself has been reached."""
        latency = np.full(count, np.inf)
        empty = np.zeros((count, self._parts))
        latency[0] = 0.0
        return _Held(latency, empty, empty, empty, empty, empty, np.zeros(count))

    def _arrive(
        self,
        stop: int,
        ways: Sequence[_Way],
        held: Sequence[_Held],
        before: npt.NDArray[np.int64],
        last: npt.NDArray[np.int64],
    ) -> _Held:
        """The best way from every start to one position; starts that lie after it cannot reach it."""
        reached = np.stack([held[way.begin].latency_ms + way.latency_ms for way in ways])
        starts = np.array([way.begin for way in ways])
        # From the start itself a way is the first step of the slice.
        reached[np.arange(len(ways)), starts] = [way.first_latency_ms for way in ways]
        chosen = np.argmin(reached, axis=0)
        begins = starts[chosen]
        before[:, stop], last[:, stop] = begins, np.array([way.step for way in ways])[chosen]
        rows = np.arange(len(chosen))

        def carried(name: str) -> Floats:
            earlier = np.stack([getattr(one, name) for one in held])
            found: Floats = earlier[begins, rows]
            return found

        def added(name: str) -> Floats:
            found: Floats = np.stack([getattr(way, name) for way in ways])[chosen]
            return found

        latency = reached[chosen, rows]
        latency[stop] = 0.0
        sums = {name: carried(name) + added(name) for name in ("billed_ms", "calls", "resident", "files")}
        first = begins == rows
        sums["billed_ms"][first] = added("first_billed_ms")[first]
        active = np.maximum(carried("active"), added("active"))
        body = np.maximum(carried("body"), added("body"))
        for values in (*sums.values(), active):
            values[stop] = 0.0
        body[stop] = 0.0
        return _Held(latency, sums["billed_ms"], sums["calls"], sums["resident"], active, sums["files"], body)

    def _priced(
        self,
        limits: PlatformLimits,
        held: Sequence[_Held],
        before: npt.NDArray[np.int64],
        last: npt.NDArray[np.int64],
    ) -> Group:
        sizing, book, profile = self._sizing, self._sizing.book, self._profile
        latency = np.stack([one.latency_ms for one in held], axis=1)
        billed, calls, resident, active, files = (
            np.stack([getattr(one, name) for one in held], axis=1)
            for name in ("billed_ms", "calls", "resident", "active", "files")
        )
        extra = Extra(profile).table(np.array(self._table.positions))
        floor = sizing.floor_mib(required_mib(profile, resident + active, extra[:, :, None]).max(axis=2))
        memory, cpu = _with_a_cpu(sizing, floor)
        bought = np.where(np.isfinite(memory), memory, 0.0)
        init = init_ms(profile, files)
        per_ms = held_usd_per_ms(book, bought, cpu)[:, :, None]
        cold_rate = book.cold_rate if book.init_billed else 0.0
        cost = (per_ms * (billed + calls * init * cold_rate) + calls * book.request_usd).sum(axis=2)
        allowed = np.isfinite(latency) & np.isfinite(memory) & (calls > 0).all(axis=2) & (memory <= book.memory_max_mib)
        body = np.stack([one.body for one in held], axis=1)
        if limits.payload_bytes is not None:
            allowed &= body * limits.payload_factor <= limits.payload_bytes
        if limits.package_bytes is not None:
            allowed &= (files + limits.package_base_bytes <= limits.package_bytes).all(axis=2)
        cost, latency = (np.where(allowed, values, np.inf) for values in (cost, latency))
        return Group(self._parts, memory, cpu, cost, latency, before, last, self._steps)


def _with_a_cpu(sizing: Sizing, floor_mib: Floats) -> tuple[Floats, Floats]:
    """The smallest sizes that hold ``floor_mib`` and give a whole CPU, and their CPUs; infinite where none does."""
    book = sizing.book
    if book.mib_per_vcpu is not None:
        memory = np.maximum(floor_mib, bought_mib(book, book.mib_per_vcpu))
        return memory, memory / book.mib_per_vcpu
    whole = [size for size in sizing.cpu_sizes if size.cpu >= 1]
    if not whole:
        return np.full_like(floor_mib, np.inf), np.ones_like(floor_mib)
    size = min(whole, key=lambda one: one.cpu)
    memory = np.maximum(floor_mib, bought_mib(book, float(size.memory_min_mib)))
    return np.where(memory <= (size.memory_max_mib or np.inf), memory, np.inf), np.full_like(memory, size.cpu)
