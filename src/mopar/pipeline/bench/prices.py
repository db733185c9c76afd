"""What a request costs that was measured: in the book of the run, and where memory buys CPU."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mopar.planning.model.prices import billed_ms, bought_mib, calls_usd
from mopar.planning.model.quota import quota_ms
from mopar.planning.numbers import Num
from mopar.types import Plan, PriceBook

_MILLION = 1e6
_HALVINGS = 50


@dataclass(frozen=True, slots=True)
class MeasuredFunction:
    """A function as it was measured.

    Attributes:
        required_mib: required memory, headroom included.
        held_ms: of all its calls of a request together, before rounding.
        calls: of a request; they are priced as if they took equally long.
        cpu: CPUs that it had.
        threads: of an operator.
        waiting_ms: of ``held_ms``, waiting for functions that compute other parts of its slice.
        period_ms: of the quota that limited its CPU.
    """

    required_mib: float
    held_ms: float
    calls: int
    cpu: float
    threads: int
    waiting_ms: float = 0.0
    period_ms: float = 20.0

    @property
    def call_ms(self) -> float:
        """Of one call, without waiting: as long as where each is billed for itself."""
        return (self.held_ms - self.waiting_ms) / self.calls

    @property
    def work_ms(self) -> float:
        """What one call computes with a CPU for each thread."""
        return _work_ms(self.call_ms, self.cpu / self.threads, self.period_ms)


@dataclass(frozen=True, slots=True)
class CoupledCost:
    """What functions cost where memory buys CPU.

    Attributes:
        usd_per_million: for a million requests.
        memory_mib: size of each function.
        billed_ms: of all calls of each function in a request, at that size.
    """

    usd_per_million: float
    memory_mib: tuple[int, ...]
    billed_ms: tuple[float, ...]


def measured_functions(
    plan: Plan, required_mib: Sequence[float], held_ms: Sequence[float], waiting_ms: Sequence[float] | None = None
) -> list[MeasuredFunction]:
    """The functions of a plan as they ran, from required memory (headroom included) and times of a request of each."""
    calls = Counter(call.function for call in plan.calls)
    waits_ms = waiting_ms or [0.0] * len(held_ms)
    period_ms = plan.quota_period_us / 1e3
    return [
        MeasuredFunction(mib, held, calls[function.name], function.cpu, function.threads, waiting, period_ms)
        for function, mib, held, waiting in zip(plan.functions, required_mib, held_ms, waits_ms, strict=True)
    ]


def cost_as_run(book: PriceBook, functions: Sequence[MeasuredFunction]) -> float:
    """USD for a million requests that take as long as was measured.

    A function is bought at the smallest size that holds its required memory and, where memory buys CPU, also buys the
    CPUs that it had, so that cost and measured latency belong together.
    """
    usd = 0.0
    for function in functions:
        memory_mib = bought_mib(book, max(function.required_mib, function.cpu * (book.mib_per_vcpu or 0.0)))
        used_ms = function.work_ms * function.threads
        usd += _usd(book, function.calls, memory_mib, function.cpu, function.held_ms / function.calls, used_ms)
    return _MILLION * usd


def cheapest_coupled(book: PriceBook, functions: Sequence[MeasuredFunction]) -> CoupledCost | None:
    """The least that functions cost where memory buys CPU, at any latency; None where one is too large for the book.

    Every function is bought at the cheapest size that holds its required memory. With less than a CPU for each thread a
    call takes longer than was measured: as long as the planner expects of so much work under the quota that the size
    buys (``mopar.planning.model.quota``). With more it takes no less. All of the held time is stretched, also the part
    that is spent on waiting for other functions, which take longer too.
    """
    found = [_cheapest(book, function) for function in functions]
    sold = [size for size in found if size is not None]
    if len(sold) < len(found):
        return None
    usd, memory_mib, duration_ms = zip(*sold, strict=True)
    return CoupledCost(_MILLION * sum(usd), memory_mib, duration_ms)


def cost_in(book: PriceBook, functions: Sequence[MeasuredFunction]) -> float | None:
    """USD for a million requests: the least where memory buys CPU, else as they ran; None where one is too large."""
    if book.mib_per_vcpu is not None:
        found = cheapest_coupled(book, functions)
        return None if found is None else found.usd_per_million
    if any(bought_mib(book, function.required_mib) > book.memory_max_mib for function in functions):
        return None
    return cost_as_run(book, functions)


def _cheapest(book: PriceBook, function: MeasuredFunction) -> tuple[float, int, float] | None:
    """Price of a request's calls, size and their duration at the cheapest size; None where no size is large enough."""
    mib_per_vcpu = book.mib_per_vcpu
    assert mib_per_vcpu is not None
    least = bought_mib(book, function.required_mib)
    if least > book.memory_max_mib:
        return None
    # Beyond a CPU for each thread, more memory only costs more.
    most = min(max(least, bought_mib(book, function.threads * mib_per_vcpu)), book.memory_max_mib)
    sizes = np.arange(least, most + 0.5, book.memory_step_mib)
    shares = sizes / mib_per_vcpu / function.threads
    call_ms = quota_ms(np.full_like(sizes, function.work_ms), shares, book.quota_period_ms)
    used_ms = function.work_ms * function.threads
    usd = _usd(book, function.calls, sizes, sizes / mib_per_vcpu, call_ms, used_ms)
    best = int(np.argmin(usd))
    return float(usd[best]), round(sizes[best]), float(call_ms[best]) * function.calls


def _usd(book: PriceBook, calls: int, memory_mib: Num, cpu: Num, call_ms: Num, used_ms: float) -> Num:
    """Price of calls that take so long each, and use so much CPU time, in a function that is warm."""
    return calls * calls_usd(book, memory_mib, cpu, billed_ms(book, call_ms), used_ms, 0.0)


def _work_ms(duration_ms: float, share: float, period_ms: float) -> float:
    """What a call computes that takes so long, on average, at a share of a CPU for each thread."""
    if share >= 1:
        return duration_ms
    low, high = 0.0, duration_ms
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if quota_ms(middle, share, period_ms) < duration_ms else (low, middle)
    return low  # where a quota is used up to the end, the time jumps
