"""One run of a function under one memory limit: from exec through load to the last answer."""

import math
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mopar.limits import Cgroup, Cgroups, evict_files, foreign_bytes, major_faults
from mopar.measurement.policy import MemoryPolicy
from mopar.platforms.base import FunctionLaunch, FunctionRun
from mopar.types import MoparError


@dataclass(frozen=True, slots=True)
class Trial:
    """What a run came to.

    Attributes:
        latencies_ms: of the requests that were answered.
        failure: why it does not count as a success; None where it does.
        duration_s: from exec to the last answer.
        peak_bytes: highest memory charged, page cache included.
        floor_bytes: highest unreclaimable memory that was seen.
        kept_bytes: unreclaimable memory after the last answer.
        settled_bytes: anonymous, kernel and mapped memory of the group after the last answer.
        foreign_bytes: mapped pages after the last answer that are charged to other processes.
    """

    latencies_ms: tuple[float, ...]
    failure: str | None
    duration_s: float
    peak_bytes: int = 0
    floor_bytes: int = 0
    kept_bytes: int = 0
    settled_bytes: int = 0
    foreign_bytes: int = 0

    @property
    def median_ms(self) -> float:
        """Median latency of a request."""
        return statistics.median(self.latencies_ms)


@dataclass(frozen=True, slots=True)
class TrialSetup:
    """What all runs of one measurement share.

    Attributes:
        launch: how the function is started and invoked.
        groups: where its cgroups are made.
        cpu: share of CPUs that it gets.
        policy: how many requests, and when a run is decided.
    """

    launch: FunctionLaunch
    groups: Cgroups
    cpu: float
    policy: MemoryPolicy


def run_trial(setup: TrialSetup, memory_bytes: int | None, *, deadline_s: float, slow_ms: float = math.inf) -> Trial:
    """Run the function in a fresh cgroup.

    Args:
        setup: the function and how it is run.
        memory_bytes: the limit; None for none.
        deadline_s: for the whole run; then it is killed. A process that barely does not fit reclaims for ever.
        slow_ms: the run fails where the limit lifts the median latency above it.

    Raises:
        MoparError: the function fails without a limit: that is no measurement.
    """
    evict_files(setup.launch.files)
    with setup.groups.create("measure") as group:
        group.limit(memory_bytes, setup.cpu)
        began = time.monotonic()
        latencies: list[float] = []
        with _killed_after(group, deadline_s) as expired, _watched(group, setup.policy.sample_s) as floor:
            try:
                with setup.launch.start(group) as running:
                    if not _serve(running, setup.policy, slow_ms, latencies):
                        return Trial(tuple(latencies), "slow", time.monotonic() - began)
                    return _settled(group, running.pid, latencies, time.monotonic() - began, floor)
            except MoparError as cause:
                if memory_bytes is None:
                    raise
                return Trial(tuple(latencies), _reason(group, expired, cause), time.monotonic() - began)


def _serve(running: FunctionRun, policy: MemoryPolicy, slow_ms: float, latencies: list[float]) -> bool:
    """Send the requests, until the median is sure to be above ``slow_ms``, or nothing is left to wait for.

    A limit slows requests down by taking away pages that they then wait for, as major faults tell. A slow request
    without any was slowed down by the machine, and says nothing about the limit. Once some in a row had none, all that
    they need is at hand: those that would follow had none either.

    Returns:
        False where the limit holds the median above ``slow_ms``.
    """
    slow = calm = 0
    faults = major_faults(running.pid)
    while len(latencies) < policy.requests:
        latencies.append(running.request())
        faults, before = major_faults(running.pid), faults
        calm = 0 if faults > before else calm + 1
        slow += latencies[-1] > slow_ms and faults > before
        fastest_ms = min(latencies[-policy.abandon_requests :])
        far_too_slow = slow >= policy.abandon_requests and fastest_ms > policy.abandon_factor * slow_ms
        if far_too_slow or slow > policy.slow_share * policy.requests:
            return False
        if calm >= policy.settled_requests and slow_ms < math.inf:
            return True
    return True


def _settled(group: Cgroup, pid: int, latencies: list[float], duration_s: float, floor: list[int]) -> Trial:
    """Read what the process holds now: after the last answer, before it ends."""
    stat = group.stat()
    return Trial(
        latencies_ms=tuple(latencies),
        failure=None,
        duration_s=duration_s,
        peak_bytes=group.peak_bytes(),
        floor_bytes=max(*floor, stat.unreclaimable),
        kept_bytes=stat.unreclaimable,
        settled_bytes=stat.anon + stat.kernel + max(stat.mapped, stat.shmem),
        foreign_bytes=foreign_bytes(group, pid),
    )


def _reason(group: Cgroup, expired: threading.Event, cause: MoparError) -> str:
    if expired.is_set():
        return "deadline"
    return "out of memory" if group.oom_kills() else f"failed: {cause}"


@contextmanager
def _killed_after(group: Cgroup, deadline_s: float) -> Iterator[threading.Event]:
    """Kill the group once the deadline passes; the event tells that it did."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        group.kill_all()

    timer = threading.Timer(deadline_s, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def _watched(group: Cgroup, sample_s: float) -> Iterator[list[int]]:
    """Collect the group's unreclaimable memory while it loads and runs."""
    seen, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(sample_s):
            seen[0] = max(seen[0], group.stat().unreclaimable)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
