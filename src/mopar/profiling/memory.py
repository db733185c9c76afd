"""Required memory of a function: the smallest limit under which it serves as if there were none.

The definition is DESIGN.md's, section 4. A peak would be no measure: page cache fills any limit, and
what a limit presses out without harm need not be paid for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from mopar.limits import detect_cgroups, evict_files, resident_memory
from mopar.profiling.trial import Bench, Launch, Trial, run_trial

_MIB = 1 << 20
_RESOLUTION_SHARE = 0.02
_FLOOR_SLACK_BYTES = _MIB  # the kernel adds up a cgroup's statistics in batches
_GUESS_SLACK_BYTES = 2 * _MIB
_REFERENCE_EVERY = 2
_HOPELESS = 2.0  # times slower than tolerated: no noise, no second try


@dataclass(frozen=True, slots=True)
class Probe:
    """A limit that was tried.

    Attributes:
        limit_mib: the limit; None for a run without one.
        failure: ``out of memory``, ``slow``, ``deadline`` or ``failed: ..``; None for success.
        latency_ms: median latency; None where nothing was answered.
    """

    limit_mib: float | None
    failure: str | None
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class MemoryMeasurement:
    """What a function needs.

    Attributes:
        required_mib: required memory.
        limit_mib: the smallest limit that was enough; None where no cgroup can be made here, and
            ``required_mib`` is the peak of resident memory: an upper bound.
        foreign_mib: mapped pages that are charged to other processes, after the last answer.
        peak_mib: highest memory charged without a limit, page cache included.
        latency_ms_unlimited: median latency without a limit.
        limits_tried: every run, in order.
    """

    required_mib: float
    limit_mib: float | None
    foreign_mib: float
    peak_mib: float
    latency_ms_unlimited: float
    limits_tried: tuple[Probe, ...]


def required_memory(
    launch: Launch,
    *,
    cpu: float,
    requests: int = 20,
    tolerance: float = 0.10,
    resolution_mib: float = 2.0,
    deadline_s: float = 600.0,
    progress: Callable[[str], None] = lambda _: None,
) -> MemoryMeasurement:
    """Measure the required memory of a function, to max(2 MiB, 2%).

    Takes three to eight runs under a limit and about half as many without.

    Args:
        launch: how the function is started and asked.
        cpu: share of CPUs that it gets.
        requests: answers in a row that count as success.
        tolerance: by which the median latency may exceed the unlimited one.
        resolution_mib: of the limit, where 2% of it is less.
        deadline_s: for a run without a limit.
        progress: told one line per run.

    Raises:
        MoparError: the function fails without a limit.
    """
    groups = detect_cgroups()
    if groups is None:
        return _resident_peak(launch, requests)
    search = _Search(Bench(launch, groups, cpu, requests), tolerance, resolution_mib * _MIB, deadline_s, progress)
    return search.run()


class _Search:
    """The search, with the runs that it has made."""

    def __init__(
        self, bench: Bench, tolerance: float, resolution: float, deadline_s: float, progress: Callable[[str], None]
    ) -> None:
        self._bench, self._tolerance, self._resolution = bench, tolerance, resolution
        self._deadline_s, self._progress = deadline_s, progress
        self._probes: list[Probe] = []
        self._references: list[Trial] = []
        self._since_reference = 0

    def run(self) -> MemoryMeasurement:
        """Search between what cannot be reclaimed and what is used without a limit."""
        self._reference()  # brings library pages in, which the later runs then find charged elsewhere
        best = self._reference()
        too_small = max(0, *(run.floor_bytes - _FLOOR_SLACK_BYTES for run in self._references))
        enough = best.peak_bytes
        guess: int | None = best.settled_bytes + _GUESS_SLACK_BYTES
        step, climb, serving_bound = math.inf, math.inf, False
        while enough - too_small > self._resolution_at(enough):
            guessed = guess is not None and too_small < guess < enough
            middle = max((too_small + enough) / 2, enough - step)
            limit = guess if guess and guessed else math.ceil(min(middle, too_small + climb))
            guess = None
            trial = self._limited(limit)
            if trial.failure is None:
                enough, best = limit, trial
                # Below a good guess go in small steps at first: a limit far too small takes longest to fail.
                step, climb = self._resolution_at(limit) if guessed else 2 * step, math.inf
            else:
                # And above a guess that is a little too small: what is used without a limit may be twice as much.
                climb = 2 * (self._resolution_at(limit) if guessed else climb)
                too_small, step, serving_bound = limit, math.inf, bool(trial.latencies_ms)
        return self._measured(enough, best, serving_bound=serving_bound)

    def _resolution_at(self, limit: int) -> float:
        return max(self._resolution, _RESOLUTION_SHARE * limit)

    def _measured(self, limit: int, trial: Trial, *, serving_bound: bool) -> MemoryMeasurement:
        return MemoryMeasurement(
            required_mib=_required_bytes(limit, trial, serving_bound=serving_bound) / _MIB,
            limit_mib=limit / _MIB,
            foreign_mib=trial.foreign_bytes / _MIB,
            peak_mib=max(run.peak_bytes for run in self._references) / _MIB,
            latency_ms_unlimited=self._reference_ms(),
            limits_tried=tuple(self._probes),
        )

    def _limited(self, limit: int) -> Trial:
        """Try a limit, once more where only a little slowness speaks against it: that may be noise."""
        if self._since_reference >= _REFERENCE_EVERY:
            self._reference()
        trial = self._trial(limit)
        if trial.failure == "slow" and trial.median_ms < _HOPELESS * self._slow_ms():
            self._reference()
            trial = self._trial(limit)
        self._since_reference += bool(trial.latencies_ms)
        return trial

    def _trial(self, limit: int) -> Trial:
        # Too small a limit can keep a process reclaiming for ever instead of killing it.
        deadline_s = 5 * max(trial.duration_s for trial in self._references) + 5
        return self._note(run_trial(self._bench, limit, deadline_s=deadline_s, slow_ms=self._slow_ms()), limit)

    def _reference(self) -> Trial:
        trial = self._note(run_trial(self._bench, None, deadline_s=self._deadline_s), None)
        self._references.append(trial)
        self._since_reference = 0
        return trial

    def _reference_ms(self) -> float:
        """Median latency of the last two runs without a limit: machines drift."""
        latencies = [latency for trial in self._references[-2:] for latency in trial.latencies_ms]
        return Trial(tuple(latencies), None, 0.0).median_ms

    def _slow_ms(self) -> float:
        return self._reference_ms() * (1 + self._tolerance)

    def _note(self, trial: Trial, limit: int | None) -> Trial:
        latency_ms = trial.median_ms if trial.latencies_ms else None
        self._probes.append(Probe(None if limit is None else limit / _MIB, trial.failure, latency_ms))
        name = "no limit" if limit is None else f"limit {limit / _MIB:.1f} MiB"
        timing = "" if latency_ms is None else f", {latency_ms:.2f} ms"
        self._progress(f"memory: {name}: {trial.failure or 'ok'}{timing}")
        return trial


def _required_bytes(limit: int, trial: Trial, *, serving_bound: bool) -> int:
    """Limit and foreign pages together, as far as both are needed at the same time.

    Where serving needs the limit, it needs the foreign pages beside it. Where only loading does, that leaves
    room for them afterwards, and while loading they could be pressed out.
    """
    if serving_bound:
        return limit + trial.foreign_bytes
    return max(limit, trial.settled_bytes + trial.foreign_bytes)


def _resident_peak(launch: Launch, requests: int) -> MemoryMeasurement:
    """Without cgroups: the peak of resident memory, library pages included."""
    evict_files(launch.files)
    with launch.start(None) as running:
        latencies = tuple(running.request() for _ in range(requests))
        peak_mib = resident_memory(running.pid).peak / _MIB
    trial = Trial(latencies, None, 0.0)
    return MemoryMeasurement(peak_mib, None, 0.0, peak_mib, trial.median_ms, (Probe(None, None, trial.median_ms),))
