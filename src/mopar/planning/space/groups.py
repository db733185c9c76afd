"""Parallel slices: for every pair of positions, the fastest path through sharding steps of a number of functions.

A group of ``parts`` functions computes a slice in stages, one after the other: steps, which are runs of layers that
parts compute in parallel (``Profile.shards``), and between those, runs that its first function computes alone. Between
two stages the parts exchange their outputs. For every start, dynamic programming over the later positions finds the
stages with the least sum of latencies; their cost and memory follow. O(n x steps + n^3) time for n positions, O(n^2 x
parts) memory.
"""

from dataclasses import dataclass

import numpy as np

from mopar.planning.model.memory import required_mib
from mopar.planning.model.prices import billed_ms, bought_mib, calls_usd
from mopar.planning.model.table import SliceTable
from mopar.planning.numbers import Floats, Indices
from mopar.planning.space.group_stages import GroupStages
from mopar.planning.space.question import Question
from mopar.planning.space.sizes import Sizes
from mopar.planning.space.stages import Figures, Most, Sum
from mopar.types import ShardStep

_NO_STEP = -1


@dataclass(frozen=True, slots=True)
class GroupPaths:
    """The fastest path through the stages of every slice.

    Attributes:
        steps: the sharding steps.
        begins: the position where each of ``steps`` begins.
        last: the last step of a slice by its number in ``steps``; -1 where there is none.
        alone: the position from which on the first function computes the rest of a slice alone; its stop where none.
    """

    steps: tuple[ShardStep, ...]
    begins: Indices
    last: Indices
    alone: Indices

    def between(self, start: int, stop: int) -> tuple[ShardStep, ...]:
        """The steps of a slice that its parts share, first to last."""
        found: list[ShardStep] = []
        while stop != start:
            stop = int(self.alone[start, stop])
            if stop != start:
                number = int(self.last[start, stop])
                found.append(self.steps[number])
                stop = int(self.begins[number])
        return tuple(found[::-1])


@dataclass(frozen=True, slots=True)
class Group:
    """Every slice as a group of ``parts`` functions; matrices by start and stop, infinite where it is impossible.

    Attributes:
        parts: number of functions.
        memory_mib: of each, headroom included, as bought; ``cpu`` of each.
        cost_usd, latency_ms: of a slice.
        start_ms: the longest of its functions, where all limits but that of a start are kept.
        paths: through the steps.
    """

    parts: int
    memory_mib: Floats
    cpu: Floats
    cost_usd: Floats
    latency_ms: Floats
    start_ms: Floats
    paths: GroupPaths

    def sizes(self, start: int, stop: int) -> Sizes:
        """The one size of a slice between two positions, by their numbers."""
        memory, cpu, cost, latency = (
            matrix[start : start + 1, stop] for matrix in (self.memory_mib, self.cpu, self.cost_usd, self.latency_ms)
        )
        return Sizes(memory, cpu, np.ones(1), cost, latency)

    def path(self, start: int, stop: int) -> tuple[ShardStep, ...]:
        """The steps of a slice that its parts share, first to last."""
        return self.paths.between(start, stop)


def groups_of(question: Question, table: SliceTable) -> tuple[Group, ...]:
    """Groups of every number of parts that the profile has and the question allows.

    Each part gets a whole CPU, so there are no groups where functions are given less; where functions share the
    profile's host, there are at most as many parts as cores.
    """
    if question.cpu is not None and question.cpu < 1:
        return ()
    most = [number for number in (question.max_functions, question.max_parts) if number is not None]
    if question.model.limits.shares_host:
        most.append(question.model.profile.machine.cores)
    counts = sorted({len(step.parts) for step in question.model.profile.shards})
    found = [
        _group(question, table, GroupStages(question.model, table, parts))
        for parts in counts
        if parts <= min(most, default=parts)
    ]
    return tuple(group for group in found if group is not None)


def _group(question: Question, table: SliceTable, stages: GroupStages) -> Group | None:
    if not stages.steps:
        return None
    count = len(table.positions)
    # By stop, then start: the best path that ends with a step, and the best path.
    stepped, best = (Figures.nothing((count, count), stages.parts) for _ in range(2))
    last, alone = np.full((count, count), _NO_STEP), np.tile(np.arange(count), (count, 1))
    everywhere = np.ones(count, dtype=bool)
    for stop in range(1, count):
        ending = np.flatnonzero(stages.ends == stop)
        if len(ending):
            row, chosen = stages.together(ending).arrive(best)
            last[:, stop] = ending[chosen]
            stepped.keep(stop, row, everywhere)
            best.keep(stop, row, everywhere)
        row, chosen = stages.alone(stop).arrive(stepped)
        sooner = row.latency_ms < best.latency_ms[stop]
        alone[sooner, stop] = chosen[sooner]
        best.keep(stop, row, sooner)
    return _priced(question, table, best.by_start(), GroupPaths(stages.steps, stages.begins, last, alone))


def _priced(question: Question, table: SliceTable, figures: Figures, paths: GroupPaths) -> Group:
    model, book = question.model, question.model.book
    calls, files = figures.sum(Sum.CALLS), figures.sum(Sum.FILE_BYTES)
    held_bytes = figures.sum(Sum.RESIDENT_BYTES) + figures.largest(Most.ACTIVE_BYTES)
    beside_mib = figures.largest(Most.OVERHEAD_MIB) + figures.largest(Most.LIBRARY_MIB)
    required = required_mib(model.profile.runtime.base_mib, held_bytes, beside_mib)
    memory, cpu = _with_a_cpu(question, question.floor_mib(required.max(axis=2)))
    bought = np.where(np.isfinite(memory), memory, 0.0)
    billed = billed_ms(book, figures.held_ms) if model.parts_wait else figures.held_ms
    # No part uses more CPU time than is billed: each has a whole CPU and one thread.
    init = model.init_ms(figures.sum(Sum.LOADING_MS), np.where(np.isfinite(memory), cpu, 1.0)[..., None])
    cost = calls_usd(book, bought[..., None], cpu[..., None], billed, 0.0, init, calls).sum(axis=2)
    cost = cost + figures.sum(Sum.OBJECTS_USD).sum(axis=2)
    allowed = np.isfinite(figures.latency_ms) & np.isfinite(memory) & (calls > 0).all(axis=2)
    allowed &= memory <= book.memory_max_mib
    limits = model.limits
    if limits.payload_bytes is not None:
        allowed &= figures.largest(Most.BODY_BYTES).max(axis=2) * limits.payload_factor <= limits.payload_bytes
        # A reader of summands reads one of each part, for which other slices' payload does not allow: none may leave.
        allowed &= figures.largest(Most.SUMMED).max(axis=2) < np.array(table.positions)
    if limits.package_bytes is not None:
        allowed &= (files + limits.package_base_bytes <= limits.package_bytes).all(axis=2)
    start = np.where(allowed, init.max(axis=2), np.inf)
    if limits.max_start_ms is not None:
        allowed &= start <= limits.max_start_ms
    cost, latency = (np.where(allowed, values, np.inf) for values in (cost, figures.latency_ms))
    return Group(figures.held_ms.shape[-1], memory, cpu, cost, latency, start, paths)


def _with_a_cpu(question: Question, floor_mib: Floats) -> tuple[Floats, Floats]:
    """The smallest sizes that hold ``floor_mib`` and give a whole CPU, and their CPUs; infinite where none does."""
    book = question.model.book
    if book.mib_per_vcpu is not None:
        memory = np.maximum(floor_mib, bought_mib(book, book.mib_per_vcpu))
        return memory, memory / book.mib_per_vcpu
    memory, cpu = np.full_like(floor_mib, np.inf), np.ones_like(floor_mib)
    for size in sorted((size for size in question.cpu_sizes if size.cpu >= 1), key=lambda one: one.cpu):
        wanted = np.maximum(floor_mib, bought_mib(book, float(size.memory_min_mib)))
        fits = np.isinf(memory) & (wanted <= (size.memory_max_mib or np.inf))
        memory, cpu = np.where(fits, wanted, memory), np.where(fits, size.cpu, cpu)
    return memory, cpu
