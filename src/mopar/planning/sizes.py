"""Sizes that a slice can be given, and what each takes and costs."""

from dataclasses import dataclass, fields

import numpy as np

from mopar.planning.arithmetic import Floats, Num, billed_ms, call_usd
from mopar.planning.memory import HEADROOM_MIN_MIB, HEADROOM_SHARE, bought_mib, with_headroom
from mopar.planning.quota import least_work_mib, quota_ms
from mopar.planning.table import SliceTable
from mopar.types import CpuSize, PriceBook, Profile

# Two sizes whose prices differ by less than this share cost the same.
_SAME = 1e-9
_TWO = 2.0


@dataclass(frozen=True, slots=True)
class Size:
    """What a function gets; ``parts`` functions, where a slice is computed side by side."""

    memory_mib: int
    cpu: float
    threads: int
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of one slice worth choosing from: each is cheaper than all faster ones; cheapest first."""

    memory_mib: Floats
    cpu: Floats
    threads: Floats
    cost_usd: Floats
    latency_ms: Floats

    def at(self, number: int) -> Size:
        """One of them."""
        memory_mib, cpu, threads = (float(column[number]) for column in (self.memory_mib, self.cpu, self.threads))
        return Size(round(memory_mib), cpu, round(threads))


def inside_ms(one_ms: Num, two_ms: Num, cpu: Num, threads: Num) -> Num:
    """A call's time inside a function of ``cpu`` CPUs, of a profile measured at one whole CPU.

    Args:
        one_ms: with one thread.
        two_ms: with two threads, each with a CPU of its own.
        cpu: of the function.
        threads: 1, or 2 where there are two CPUs.
    """
    one = quota_ms(one_ms, cpu)
    return one + (two_ms - one) * (threads > 1)


def threads_of(one_ms: Floats, two_ms: Floats, cpu: Floats) -> Floats:
    """How many threads are faster: two only where each has a CPU."""
    return np.where((cpu >= _TWO) & (two_ms < one_ms), 2.0, 1.0)


@dataclass(frozen=True, slots=True)
class Sizing:
    """How memory and CPU are bought.

    Attributes:
        profile, book: what is priced, and the prices.
        cpu: CPUs of each function, in place of the book's choice; None for that, or where memory buys CPU.
        headroom_share, headroom_min_mib: what is added to required memory.
    """

    profile: Profile
    book: PriceBook
    cpu: float | None
    headroom_share: float = HEADROOM_SHARE
    headroom_min_mib: float = HEADROOM_MIN_MIB

    @property
    def cpu_sizes(self) -> tuple[CpuSize, ...]:
        """CPUs to choose from where memory does not buy them."""
        if self.cpu is not None:
            return (CpuSize(self.cpu),)
        return self.book.cpu_sizes or (CpuSize(self.book.cpu_per_function),)

    def floor_mib(self, memory_mib: Floats) -> Floats:
        """The smallest sizes that hold ``memory_mib`` and its headroom; the book's maximum is not looked at."""
        return bought_mib(self.book, with_headroom(memory_mib, self.headroom_share, self.headroom_min_mib))

    def menu(self, table: SliceTable) -> Sizes | None:
        """For every slice, a size for each number of CPUs, in columns of matrices; None where memory buys CPU.

        A size that cannot be bought has a price of infinity.
        """
        if self.book.mib_per_vcpu is not None:
            return None
        floor = self.floor_mib(table.memory_mib)
        found = []
        for size in self.cpu_sizes:
            memory = np.maximum(floor, bought_mib(self.book, float(size.memory_min_mib)))
            memory = np.where(memory <= (size.memory_max_mib or np.inf), memory, np.inf)
            found.append(self._priced(table, memory, np.full_like(memory, size.cpu)))
        return Sizes(*(np.stack([getattr(sizes, column.name) for sizes in found]) for column in fields(Sizes)))

    def bounds(self, table: SliceTable, menu: Sizes | None) -> tuple[Floats, Floats]:
        """For every slice, a price and a latency that none of its sizes undercuts.

        The latency is reached, by the fastest size; so is the price where memory buys no CPU. Where it does, the price
        is a bound: memory that buys CPU in proportion nearly cancels out of the price of computing.
        """
        if menu is not None:
            return menu.cost_usd.min(axis=0), menu.latency_ms.min(axis=0)
        assert self.book.mib_per_vcpu is not None
        return self._coupled_bounds(table, self.floor_mib(table.memory_mib), self.book.mib_per_vcpu)

    def sizes(self, table: SliceTable, menu: Sizes | None, start: int, stop: int) -> Sizes:
        """The sizes of the slice between two positions (by their numbers in the table) worth choosing from."""
        if menu is not None:
            columns = (getattr(menu, column.name)[:, start, stop] for column in fields(Sizes))
            return _worthwhile(Sizes(*columns))
        assert self.book.mib_per_vcpu is not None
        one = table.at(start, stop)
        floor = float(self.floor_mib(one.memory_mib)[0, 0])
        most = max(floor, self._useful_mib(self.book.mib_per_vcpu))
        memory = np.arange(floor, most + 0.5, self.book.memory_step_mib)[None, :]
        found = self._priced(one, memory, memory / self.book.mib_per_vcpu)
        return _worthwhile(Sizes(*(getattr(found, column.name)[0] for column in fields(Sizes))))

    def _priced(self, table: SliceTable, memory_mib: Floats, cpu: Floats) -> Sizes:
        """Slices at sizes, with what they cost and take; infinite where the size is."""
        threads = threads_of(table.inside_ms, table.inside_two_ms, cpu)
        inside = inside_ms(table.inside_ms, table.inside_two_ms, cpu, threads)
        bought = np.isfinite(memory_mib)
        cost = call_usd(self.book, np.where(bought, memory_mib, 0.0), cpu, billed_ms(self.book, inside), table.init_ms)
        latency = np.where(bought, inside + table.outside_ms, np.inf)
        return Sizes(memory_mib, cpu, threads, np.where(bought, cost, np.inf), latency)

    def _useful_mib(self, mib_per_vcpu: float) -> float:
        """The size above which more memory makes a function no faster."""
        largest = self.book.memory_max_mib - self.book.memory_min_mib
        steps = largest // self.book.memory_step_mib * self.book.memory_step_mib
        wanted = bought_mib(self.book, mib_per_vcpu * self._most_cpus)
        return min(float(wanted), float(self.book.memory_min_mib + steps))

    @property
    def _most_cpus(self) -> float:
        """CPUs that a function can make use of."""
        return _TWO if any(layer.two_threads is not None for layer in self.profile.layers) else 1.0

    def _coupled_bounds(self, table: SliceTable, floor: Floats, mib_per_vcpu: float) -> tuple[Floats, Floats]:
        fastest = np.maximum(floor, self._useful_mib(mib_per_vcpu))
        latency = self._priced(table, fastest, fastest / mib_per_vcpu).latency_ms
        inside = latency - table.outside_ms
        one, two = table.inside_ms, np.minimum(table.inside_two_ms, table.inside_ms)
        # Memory times time: below a whole CPU, or on one, or with two threads on two.
        held = np.minimum(
            one * np.maximum(floor, least_work_mib(one, mib_per_vcpu)), two * np.maximum(floor, _TWO * mib_per_vcpu)
        )
        billed = np.maximum(billed_ms(self.book, inside), held / floor)
        return call_usd(self.book, floor, floor / mib_per_vcpu, billed, table.init_ms), latency


def _worthwhile(sizes: Sizes) -> Sizes:
    """Those that are cheaper than all faster ones, cheapest first."""
    order = np.lexsort((sizes.cost_usd, sizes.latency_ms))
    dearest_faster = np.append(np.inf, np.minimum.accumulate(sizes.cost_usd[order])[:-1])
    kept = order[sizes.cost_usd[order] < dearest_faster * (1 - _SAME)][::-1]
    return Sizes(
        *(column[kept] for column in (sizes.memory_mib, sizes.cpu, sizes.threads, sizes.cost_usd, sizes.latency_ms))
    )
