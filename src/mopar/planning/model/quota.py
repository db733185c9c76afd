"""Effect of a function's CPUs on a call's time."""

import numpy as np

from mopar.planning.numbers import Floats, Num
from mopar.types import PlatformLimits, PriceBook

TWO_CPUS = 2.0


def quota_ms(work_ms: Num, share: Num, period_ms: float) -> Num:
    """Expected latency of a call that computes for ``work_ms`` with one thread at ``share`` of a CPU, over 0.

    The kernel grants a quota of ``share * period`` at the start of each period; a process that has used it up waits for
    the next one. A call to an idle function has a whole quota and arrives at any moment of a period, so one that needs
    no more than a quota is not slowed down at all, and a longer one takes about a period less than ``work / share``.
    The mean over all moments, in closed form: with quota ``q``, period ``P`` and the remainder after the first quota,
    ``r = work - q > 0``, a call that arrives at least ``q`` before the period's end, as ``P - q`` of ``P`` do, waits
    for that end, ``(P + q) / 2`` away on average, and then through ``ceil(r / q) - 1`` more; the others get two quotas
    in a row, and their mean is ``work + (P - q) r / q``.
    """
    quota = (share - (share - 1.0) * (share > 1.0)) * period_ms
    rest = work_ms - quota
    slow = rest > 0
    idle = period_ms - quota
    waits = -(-rest // quota) - 1.0
    waiting = idle / period_ms * ((period_ms + quota) / 2 + rest + waits * idle)
    running = quota / period_ms * (work_ms + idle * rest / quota)
    return work_ms + (waiting + running - work_ms) * slow


def least_work_mib(work_ms: Num, mib_per_cpu: float, period_ms: float) -> Num:
    """The least of ``memory x latency / work`` over all sizes below a whole CPU, in MiB; a lower bound.

    In a time ``t`` a call gets at most ``2 + t / P`` quotas, so ``t >= work / share - 2 P``, and ``t >= work`` anyway.
    With ``share = memory / mib_per_cpu`` the product of memory and the larger of the two is least where they meet.
    """
    return mib_per_cpu * work_ms / (work_ms + 2 * period_ms)


def cpu_bound_ms(book: PriceBook, one_ms: Num, two_ms: Num, cpu: Num, threads: Num) -> Num:
    """A call's time inside a function of ``cpu`` CPUs, from times with one CPU per thread.

    Args:
        book: states the period of CPU quotas.
        one_ms: with one thread.
        two_ms: with two threads, each with a CPU of its own.
        cpu: of the function.
        threads: 1, or 2 where there are two CPUs.
    """
    one = quota_ms(one_ms, cpu, book.quota_period_ms)
    return one + (two_ms - one) * (threads > 1)


def start_ms(limits: PlatformLimits, empty_ms: float, loading_ms: Num, cpu: Num, period_ms: float) -> Num:
    """Start of a function of ``cpu`` CPUs, over 0: one thread loads it, and reads on while it waits for its quota.

    Args:
        limits: of the platform, which add waiting and reading.
        empty_ms: what a function without weights computes with one CPU.
        loading_ms: what loading its weights does.
        cpu: of the function.
        period_ms: of its quota.
    """
    work_ms = empty_ms + loading_ms
    least_ms = work_ms + limits.start_read_share * loading_ms
    stretched_ms = quota_ms(work_ms, cpu, period_ms)
    return limits.start_wait_ms + stretched_ms + (least_ms - stretched_ms) * (least_ms > stretched_ms)


def cpu_used_ms(one_ms: Num, two_ms: Num, threads: Num) -> Num:
    """CPU time of a call, from times with one CPU per thread: threads that have nothing to do poll for work."""
    return one_ms + (TWO_CPUS * two_ms - one_ms) * (threads > 1)


def threads_of(one_ms: Floats, two_ms: Floats, cpu: Floats) -> Floats:
    """The faster number of threads: two only where each has a CPU."""
    return np.where((cpu >= TWO_CPUS) & (two_ms < one_ms), 2.0, 1.0)
