"""The possible sizes of a slice, and the cost and latency at each."""

from dataclasses import dataclass, fields, replace

import numpy as np

from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.prices import billed_ms, bought_mib, calls_usd
from mopar.planning.model.quota import TWO_CPUS, cpu_bound_ms, cpu_used_ms, least_work_mib, threads_of
from mopar.planning.model.shape import Size
from mopar.planning.model.table import SliceTable
from mopar.planning.numbers import Floats, Indices
from mopar.planning.space.question import Question
from mopar.types import CpuSize


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes with a slice's cost and latency at each; infinite where a size is not on sale, or starts too slowly."""

    memory_mib: Floats
    cpu: Floats
    threads: Floats
    cost_usd: Floats
    latency_ms: Floats

    def at(self, number: int) -> Size:
        """One of the sizes, where they are a column."""
        memory_mib, cpu, threads = (float(column[number]) for column in (self.memory_mib, self.cpu, self.threads))
        return Size(round(memory_mib), cpu, round(threads))

    def of(self, kept: Indices | tuple[slice | int, ...]) -> "Sizes":
        """Some of the sizes, by an index of the arrays."""
        return Sizes(*(getattr(self, column.name)[kept] for column in fields(Sizes)))


class SizeCatalog:
    """The sizes of every slice of a table.

    Attributes:
        sold: for every slice, a size for each number of CPUs, in columns of matrices; None where memory buys CPU, as
            there are too many sizes to store.
    """

    def __init__(self, question: Question, table: SliceTable) -> None:
        self._question, self._table, self._book = question, table, question.model.book
        self.floor_mib = question.floor_mib(table.memory_mib)
        self.sold = self._sold() if self._book.mib_per_vcpu is None else None

    def bounds(self) -> tuple[Floats, Floats]:
        """Lower bounds, for every slice, on price and latency over its sizes.

        The latency is that of the fastest size; the price is also reached where memory buys no CPU. Where it does, it
        is a bound: memory that buys CPU in proportion nearly cancels out of the price of computing.
        """
        if self.sold is not None:
            return self.sold.cost_usd.min(axis=0), self.sold.latency_ms.min(axis=0)
        assert self._book.mib_per_vcpu is not None
        return self._coupled_bounds(self._book.mib_per_vcpu)

    def least_start_ms(self) -> Floats:
        """Of every slice, the shortest start over its sizes."""
        model, loading, mib_per_vcpu = self._question.model, self._table.needs.loading_ms, self._book.mib_per_vcpu
        if mib_per_vcpu is not None:
            return model.init_ms(loading, self._fastest_mib(mib_per_vcpu) / mib_per_vcpu)
        starts = [
            np.where(np.isfinite(self._sold_mib(size)), model.init_ms(loading, np.full_like(loading, size.cpu)), np.inf)
            for size in self._question.cpu_sizes
        ]
        least: Floats = np.min(starts, axis=0)
        return least

    def _fastest_mib(self, mib_per_vcpu: float) -> Floats:
        """Memory of every slice with as many CPUs as are of use."""
        return np.maximum(self.floor_mib, self._question.useful_mib(mib_per_vcpu))

    def sizes(self, start: int, stop: int) -> Sizes:
        """The useful sizes of the slice between two positions (by their numbers in the table)."""
        same_price = self._question.policy.same_price
        if self.sold is not None:
            return _worthwhile(self.sold.of((slice(None), start, stop)), same_price)
        mib_per_vcpu = self._book.mib_per_vcpu
        assert mib_per_vcpu is not None
        floor = float(self.floor_mib[start, stop])
        most = max(floor, self._question.useful_mib(mib_per_vcpu))
        memory = np.arange(floor, most + 0.5, self._book.memory_step_mib)[None, :]
        found = _startable(self._question.model, self._table.at(start, stop), memory, memory / mib_per_vcpu)
        return _worthwhile(found.of((0,)), same_price)

    def _sold(self) -> Sizes:
        found = []
        for size in self._question.cpu_sizes:
            memory = self._sold_mib(size)
            found.append(_startable(self._question.model, self._table, memory, np.full_like(memory, size.cpu)))
        return Sizes(*(np.stack([getattr(sizes, column.name) for sizes in found]) for column in fields(Sizes)))

    def _sold_mib(self, size: CpuSize) -> Floats:
        """Memory of every slice with so many CPUs; infinite where it is not sold with them."""
        memory = np.maximum(self.floor_mib, bought_mib(self._book, float(size.memory_min_mib)))
        return np.where(memory <= (size.memory_max_mib or np.inf), memory, np.inf)

    def _coupled_bounds(self, mib_per_vcpu: float) -> tuple[Floats, Floats]:
        table, floor = self._table, self.floor_mib
        fastest = self._fastest_mib(mib_per_vcpu)
        latency = _priced(self._question.model, table, fastest, fastest / mib_per_vcpu).latency_ms
        inside = latency - table.outside_ms
        one, two = table.inside_ms, np.minimum(table.inside_two_ms, table.inside_ms)
        # Memory x time: below a whole CPU, on one, or with two threads on two.
        held = np.minimum(
            one * np.maximum(floor, least_work_mib(one, mib_per_vcpu, self._book.quota_period_ms)),
            two * np.maximum(floor, TWO_CPUS * mib_per_vcpu),
        )
        billed = np.maximum(billed_ms(self._book, inside), held / floor)
        # A share of starts: each at the smallest size, and as short as with the most CPUs.
        init = self._question.model.init_ms(table.needs.loading_ms, fastest / mib_per_vcpu)
        usd = calls_usd(self._book, floor, floor / mib_per_vcpu, billed, 0.0, init)
        return usd + table.needs.objects_usd, latency


def _startable(model: CostModel, table: SliceTable, memory_mib: Floats, cpu: Floats) -> Sizes:
    """Slices at sizes, those that start too slowly at infinite cost and latency."""
    found, most_ms = _priced(model, table, memory_mib, cpu), model.limits.max_start_ms
    if most_ms is None:
        return found
    soon = model.init_ms(table.needs.loading_ms, cpu) <= most_ms
    cost, latency = (np.where(soon, figures, np.inf) for figures in (found.cost_usd, found.latency_ms))
    return replace(found, cost_usd=cost, latency_ms=latency)


def _priced(model: CostModel, table: SliceTable, memory_mib: Floats, cpu: Floats) -> Sizes:
    """Slices at sizes, with cost and latency; infinite where the size is."""
    book = model.book
    threads = threads_of(table.inside_ms, table.inside_two_ms, cpu)
    inside = cpu_bound_ms(book, table.inside_ms, table.inside_two_ms, cpu, threads)
    used = cpu_used_ms(table.inside_ms, table.inside_two_ms, threads)
    init = model.init_ms(table.needs.loading_ms, cpu)
    bought = np.isfinite(memory_mib)
    cost = calls_usd(book, np.where(bought, memory_mib, 0.0), cpu, billed_ms(book, inside), used, init)
    cost = cost + table.needs.objects_usd
    latency = np.where(bought, inside + table.outside_ms, np.inf)
    return Sizes(memory_mib, cpu, threads, np.where(bought, cost, np.inf), latency)


def _worthwhile(sizes: Sizes, same_price: float) -> Sizes:
    """Sizes that are cheaper than all faster ones, cheapest first."""
    order = np.lexsort((sizes.cost_usd, sizes.latency_ms))
    dearest_faster = np.append(np.inf, np.minimum.accumulate(sizes.cost_usd[order])[:-1])
    return sizes.of(order[sizes.cost_usd[order] < dearest_faster * (1 - same_price)][::-1])
