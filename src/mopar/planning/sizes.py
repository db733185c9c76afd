"""Sizes that a slice can be given, and what each takes and costs."""

from dataclasses import dataclass

import numpy as np

from mopar.planning.arithmetic import Floats, call_usd, round_up, speed
from mopar.planning.memory import HEADROOM_MIN_MIB, HEADROOM_SHARE, bought_mib, with_headroom
from mopar.planning.table import SliceTable
from mopar.types import PriceBook, Profile

# Two sizes whose prices differ by less than this share cost the same.
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of one slice worth choosing from: each is cheaper than all faster ones; cheapest first."""

    memory_mib: Floats
    cost_usd: Floats
    latency_ms: Floats


@dataclass(frozen=True, slots=True)
class Sizing:
    """How memory and CPU are bought.

    Attributes:
        profile, book: what is priced, and the prices.
        cpu: CPUs of a function where the book sells them apart from memory; None where memory buys them.
        headroom_share, headroom_min_mib: what is added to required memory.
    """

    profile: Profile
    book: PriceBook
    cpu: float | None
    headroom_share: float = HEADROOM_SHARE
    headroom_min_mib: float = HEADROOM_MIN_MIB

    def cpu_of(self, memory_mib: Floats) -> Floats:
        """CPUs of functions of those sizes."""
        if self.cpu is not None:
            return np.full_like(memory_mib, self.cpu)
        assert self.book.mib_per_vcpu is not None
        return memory_mib / self.book.mib_per_vcpu

    def _inside_ms(self, table_ms: Floats, memory_mib: Floats) -> Floats:
        """A call's time inside functions of those sizes, with one thread."""
        return table_ms / speed(self.profile, np.minimum(self.cpu_of(memory_mib), 1.0))

    def floor_mib(self, memory_mib: Floats) -> Floats:
        """The smallest sizes that hold ``memory_mib`` and its headroom; the book's maximum is not looked at."""
        return bought_mib(self.book, with_headroom(memory_mib, self.headroom_share, self.headroom_min_mib))

    @property
    def useful_mib(self) -> float:
        """The size above which more memory makes a function no faster; 0 where it never does."""
        if self.cpu is not None:
            return 0.0
        assert self.book.mib_per_vcpu is not None
        largest = self.book.memory_max_mib - self.book.memory_min_mib
        steps = largest // self.book.memory_step_mib * self.book.memory_step_mib
        return min(float(bought_mib(self.book, self.book.mib_per_vcpu)), float(self.book.memory_min_mib + steps))

    def bounds(self, table: SliceTable) -> tuple[Floats, Floats]:
        """For every slice, a price and a latency that none of its sizes undercuts.

        The latency is reached (by the fastest size), the price nearly: memory that buys CPU in proportion cancels
        out of the price of computing, up to the rounding of durations. Where memory buys no CPU both are exact,
        since the smallest size is the only one worth having.
        """
        floor = self.floor_mib(table.memory_mib)
        fastest = np.maximum(floor, self.useful_mib)
        inside = self._inside_ms(table.inside_ms, fastest)
        billed = round_up(inside, self.book.billing_unit_ms)
        # Held at the smallest size for the shortest time, or at any size for as long as the work takes there.
        work_mib = np.minimum(fastest, self.book.mib_per_vcpu or np.inf)
        worked = np.where(floor < fastest, inside * work_mib / floor, 0.0)
        cost = call_usd(self.book, floor, self.cpu_of(floor), np.maximum(billed, worked), table.init_ms)
        return cost, inside + table.outside_ms

    def sizes(self, table: SliceTable, start: int, stop: int) -> Sizes:
        """The sizes of the slice between two positions (by their numbers in the table) worth choosing from."""
        floor = float(self.floor_mib(table.memory_mib[start : start + 1, stop])[0])
        memory = np.arange(floor, max(floor, self.useful_mib) + 0.5, self.book.memory_step_mib)
        inside = self._inside_ms(np.full_like(memory, table.inside_ms[start, stop]), memory)
        latency = inside + table.outside_ms[start, stop]
        billed = round_up(inside, self.book.billing_unit_ms)
        cost = call_usd(
            self.book, memory, self.cpu_of(memory), billed, np.full_like(memory, table.init_ms[start, stop])
        )
        larger = np.append(np.minimum.accumulate(cost[:0:-1])[::-1], np.inf)
        keep = cost < larger * (1 - _SAME)
        return Sizes(memory[keep], cost[keep], latency[keep])
