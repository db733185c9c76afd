"""Prices of calls and the sizes on sale (docs/planning.md), written once for numbers and for arrays of numbers."""

from dataclasses import dataclass

from mopar.planning.numbers import TOLERANCE, Num
from mopar.types import PriceBook

HEADROOM_SHARE = 0.05
HEADROOM_MIN_MIB = 4.0


@dataclass(frozen=True, slots=True)
class Headroom:
    """Added to required memory: a share of it, at least ``min_mib``."""

    share: float = HEADROOM_SHARE
    min_mib: float = HEADROOM_MIN_MIB


def round_up(value: Num, unit: float) -> Num:
    """``value`` rounded up to a multiple of ``unit``; unchanged where ``unit`` is 0."""
    if unit <= 0:
        return value
    return -((TOLERANCE - value / unit) // 1.0) * unit


def billed_ms(book: PriceBook, duration_ms: Num) -> Num:
    """Billed duration of a call of that duration."""
    rounded = round_up(duration_ms, book.billing_unit_ms)
    return rounded + (book.billing_min_ms - rounded) * (rounded < book.billing_min_ms)


def held_usd_per_ms(book: PriceBook, memory_mib: Num, cpu: Num) -> Num:
    """Price of a millisecond of a function of ``memory_mib`` and ``cpu`` CPUs."""
    return (memory_mib / 1024.0 * book.gib_s_usd + cpu * book.vcpu_s_usd) / 1000.0


def calls_usd(
    book: PriceBook,
    memory_mib: Num,
    cpu: Num,
    billed_ms: Num,
    used_ms: Num | float,
    init_ms: Num | float,
    calls: Num | float = 1.0,
) -> Num:
    """Price of a function's calls in a request: memory and CPU held, the fees, and a share of cold starts.

    Where CPU is billed, at least the CPU time that was used is. A function with less than a CPU may use more than its
    share of a short call, since it may use up its quota at full speed; on a node that is full, others pay for that.

    Args:
        book: the prices.
        memory_mib: of the function, as bought.
        cpu: its CPUs.
        billed_ms: of all calls together.
        used_ms: CPU time of all calls together (``quota.cpu_used_ms``).
        init_ms: from exec to ready, with its CPUs.
        calls: how many.
    """
    cold_rate = book.cold_rate if book.init_billed else 0.0
    beyond_ms = used_ms - cpu * billed_ms
    held = held_usd_per_ms(book, memory_mib, cpu) * (billed_ms + calls * init_ms * cold_rate)
    return held + beyond_ms * (beyond_ms > 0) * (book.vcpu_s_usd / 1000.0) + calls * book.request_usd


def with_headroom(memory_mib: Num, share: float = HEADROOM_SHARE, minimum_mib: float = HEADROOM_MIN_MIB) -> Num:
    """``memory_mib`` plus ``share`` of it, at least ``minimum_mib`` more."""
    relative, absolute = memory_mib * (1 + share), memory_mib + minimum_mib
    # max(), for arrays too: where(a, b) is b + (a - b if a > b else 0).
    return absolute + (relative - absolute) * (relative > absolute)


def bought_mib(book: PriceBook, memory_mib: Num) -> Num:
    """The smallest size on sale with at least ``memory_mib``, regardless of the maximum."""
    above = memory_mib - book.memory_min_mib
    return round_up(above * (above > 0), float(book.memory_step_mib)) + book.memory_min_mib
