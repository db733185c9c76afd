"""What a request costs that was measured: in the book of the run, and where memory buys CPU."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mopar.planning.model.prices import billed_ms, bought_mib, call_usd
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
        billed_ms: of all its calls of a request together, before rounding.
        calls: of a request; they are priced as if they took equally long.
        cpu: CPUs that it had.
        threads: of an operator.
    """

    required_mib: float
    billed_ms: float
    calls: int
    cpu: float
    threads: int


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


def measured_functions(plan: Plan, required_mib: Sequence[float], billed_ms: Sequence[float]) -> list[MeasuredFunction]:
    """The functions of a plan, with required memory (headroom included) and billed duration of a request of each."""
    calls = Counter(call.function for call in plan.calls)
    return [
        MeasuredFunction(mib, ms, calls[function.name], function.cpu, function.threads)
        for function, mib, ms in zip(plan.functions, required_mib, billed_ms, strict=True)
    ]


def cost_as_run(book: PriceBook, functions: Sequence[MeasuredFunction]) -> float:
    """USD for a million requests that take as long as was measured.

    A function is bought at the smallest size that holds its required memory and, where memory buys CPU, also buys the
    CPUs that it had, so that cost and measured latency belong together.
    """
    usd = 0.0
    for function in functions:
        memory_mib = bought_mib(book, max(function.required_mib, function.cpu * (book.mib_per_vcpu or 0.0)))
        usd += _usd(book, function.calls, memory_mib, function.cpu, function.billed_ms / function.calls)
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
    work_ms = _work_ms(function.billed_ms / function.calls, function.cpu / function.threads)
    call_ms = quota_ms(np.full_like(sizes, work_ms), sizes / mib_per_vcpu / function.threads)
    usd = _usd(book, function.calls, sizes, sizes / mib_per_vcpu, call_ms)
    best = int(np.argmin(usd))
    return float(usd[best]), round(sizes[best]), float(call_ms[best]) * function.calls


def _usd(book: PriceBook, calls: int, memory_mib: Num, cpu: Num, call_ms: Num) -> Num:
    """Price of calls that take so long each, in a function that is warm."""
    return calls * call_usd(book, memory_mib, cpu, billed_ms(book, call_ms), 0.0 * call_ms)


def _work_ms(duration_ms: float, share: float) -> float:
    """What a call computes that takes so long, on average, at a share of a CPU for each thread."""
    if share >= 1:
        return duration_ms
    low, high = 0.0, duration_ms
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if quota_ms(middle, share) < duration_ms else (low, middle)
    return low  # where a quota is used up to the end, the time jumps
