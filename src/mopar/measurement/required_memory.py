"""Required memory of a function: the smallest limit under which it serves as if there were none.

The definition is DESIGN.md's, section 4. A peak would be no measure: page cache fills any limit, and
what a limit presses out without harm need not be paid for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from mopar.limits import detect_cgroups, evict_files, resident_memory
from mopar.measurement.trial import Bench, Trial, run_trial
from mopar.platforms.base import FunctionLaunch

_MIB = 1 << 20
_RESOLUTION_SHARE = 0.02
_FLOOR_SLACK_BYTES = _MIB  # the kernel adds up a cgroup's statistics in batches
_GUESS_SLACK_BYTES = 7 * _MIB // 2  # what a function was seen to need beyond what it holds, the page cache's minimum
_SURPLUS_SHARE = 0.1  # of what is expected: further off, the other function was not like this one
_LIBRARY_BYTES = _MIB  # mapped pages found charged to others, from which on the libraries were there before
_REFERENCE_EVERY = 4
_PATIENCE, _PATIENCE_S = 2.5, 1.0  # times the longest run without a limit, and seconds on top
_HOPELESS = 1.25  # times slower than tolerated, waiting for pages in most requests: no noise, no second try
_REFERENCE_REQUESTS = 7  # enough for a median: survival is not in question without a limit


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
        surplus_mib: how far the limit is below what a run without one let expect.
    """

    required_mib: float
    limit_mib: float | None
    foreign_mib: float
    peak_mib: float
    latency_ms_unlimited: float
    limits_tried: tuple[Probe, ...]
    surplus_mib: float = 0.0


def required_memory(
    launch: FunctionLaunch,
    *,
    cpu: float,
    requests: int = 20,
    tolerance: float = 0.10,
    resolution_mib: float = 2.0,
    deadline_s: float = 600.0,
    surplus_mib: float = 0.0,
    progress: Callable[[str], None] = lambda _: None,
) -> MemoryMeasurement:
    """Measure the required memory of a function, to max(2 MiB, 2%).

    Takes one to four runs under a limit and one or two without, as a rule.

    Args:
        launch: how the function is started and asked.
        cpu: share of CPUs that it gets.
        requests: answers in a row that count as success.
        tolerance: by which the median latency may exceed the unlimited one.
        resolution_mib: of the limit, where 2% of it is less.
        deadline_s: for a run without a limit.
        surplus_mib: that of a function like this one, where one was measured: where to look first.
        progress: told one line per run.

    Raises:
        MoparError: the function fails without a limit.
    """
    groups = detect_cgroups()
    if groups is None:
        return _resident_peak(launch, requests)
    search = _Search(Bench(launch, groups, cpu, requests), tolerance, resolution_mib * _MIB, deadline_s, progress)
    return search.run(surplus_mib * _MIB)


class _Bracket:
    """The limits between which the answer lies, and which to try next.

    From a guess it goes in small steps at first, down or up, which double: a limit far too small takes longest to
    fail, and what is used without a limit may be twice as much as is needed. Between a failure and a success it halves.
    Less than what was held is not expected to do: a step that would go far below stops close to it.

    Args:
        too_small: bytes that cannot be enough.
        enough: bytes that are.
        held: bytes that a run without a limit could not do without, as far as its counters tell.
        guess: bytes to try first.
        resolution: bytes to find the limit to, where 2% of it are less.
    """

    def __init__(self, too_small: int, enough: int, held: float, guess: float, resolution: float) -> None:
        self.too_small, self.enough = too_small, enough
        self._resolution = resolution
        self._held = held
        self._stride = 1
        self._next = guess
        if guess > enough - self._fine(enough):
            self._down()

    def next_limit(self) -> int | None:
        """Bytes to try next; None once the answer is found to the resolution."""
        if self.enough - self.too_small <= self._fine(self.enough):
            return None
        inside = self.too_small < self._next < self.enough
        return math.ceil(self._next if inside else (self.too_small + self.enough) / 2)

    def tried(self, limit: int, *, enough: bool) -> None:
        """Note how a limit did."""
        if enough:
            self.enough = limit
            self._down()
        else:
            self.too_small = limit
            self._next = min((limit + self.enough) / 2, limit + self._stride * self._fine(limit))
        self._stride *= 2

    def _down(self) -> None:
        fine = self._fine(self.enough)
        self._next = max((self.too_small + self.enough) / 2, self.enough - self._stride * fine)
        if self._held < self.enough:
            self._next = max(self._next, min(self.enough - fine, self._held))

    def _fine(self, limit: int) -> float:
        return max(self._resolution, _RESOLUTION_SHARE * limit)


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

    def run(self, surplus: float) -> MemoryMeasurement:
        """Search between what cannot be reclaimed and what is used without a limit.

        Args:
            surplus: bytes by which less than expected is likely to do.
        """
        best = self._reference()
        if best.foreign_bytes < _LIBRARY_BYTES:
            best = self._reference()  # the first one brought library pages in, which later runs find charged elsewhere
        too_small = max(0, *(run.floor_bytes - _FLOOR_SLACK_BYTES for run in self._references))
        held, loading = _held_bytes(best), _loading_bytes(best)
        expected = max(held + _GUESS_SLACK_BYTES, loading)
        surplus = max(-_SURPLUS_SHARE * expected, min(surplus, _SURPLUS_SHARE * expected))
        bracket = _Bracket(too_small, best.peak_bytes, held - surplus, expected - surplus, self._resolution)
        serving_bound = False
        while (limit := bracket.next_limit()) is not None:
            trial = self._limited(limit)
            if trial.failure is None:
                best = trial
            else:
                serving_bound = bool(trial.latencies_ms)
            bracket.tried(limit, enough=trial.failure is None)
        return self._measured(bracket.enough, expected, best, serving_bound=serving_bound)

    def _measured(self, limit: int, expected: int, trial: Trial, *, serving_bound: bool) -> MemoryMeasurement:
        return MemoryMeasurement(
            required_mib=_required_bytes(limit, trial, serving_bound=serving_bound) / _MIB,
            limit_mib=limit / _MIB,
            foreign_mib=trial.foreign_bytes / _MIB,
            peak_mib=max(run.peak_bytes for run in self._references) / _MIB,
            latency_ms_unlimited=self._reference_ms(),
            limits_tried=tuple(self._probes),
            surplus_mib=(expected - limit) / _MIB,
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
        deadline_s = _PATIENCE * max(self._whole_s(trial) for trial in self._references) + _PATIENCE_S
        return self._note(run_trial(self._bench, limit, deadline_s=deadline_s, slow_ms=self._slow_ms()), limit)

    def _whole_s(self, reference: Trial) -> float:
        """How long a run takes with as many requests as one under a limit has to answer."""
        return reference.duration_s + reference.median_ms / 1e3 * (self._bench.requests - len(reference.latencies_ms))

    def _reference(self) -> Trial:
        bench = replace(self._bench, requests=min(self._bench.requests, _REFERENCE_REQUESTS))
        trial = self._note(run_trial(bench, None, deadline_s=self._deadline_s), None)
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


def _held_bytes(trial: Trial) -> int:
    """What a run without a limit used in the end, or had to keep at some time, loading included.

    Where not all of it fits, pages that it does not find come in with those around them, and press others out: on a
    disk that reads ahead a lot, about half of what is around the used pages has to fit too.
    """
    return max(trial.settled_bytes + trial.around_bytes // 2, trial.floor_bytes)


def _loading_bytes(trial: Trial) -> int:
    """What a run without a limit wanted at hand while it loaded.

    What it had to keep for loading alone is the largest weight in a packed form, made from a plain one of the same
    size that the engine walks through many times: without room for both, each walk reads it from the disk again.
    """
    return trial.floor_bytes + (trial.floor_bytes - trial.kept_bytes)


def _required_bytes(limit: int, trial: Trial, *, serving_bound: bool) -> int:
    """Limit and foreign pages together, as far as both are needed at the same time.

    Where serving needs the limit, it needs the foreign pages beside it. Where only loading does, that leaves
    room for them afterwards, and while loading they could be pressed out.
    """
    if serving_bound:
        return limit + trial.foreign_bytes
    return max(limit, trial.settled_bytes + trial.foreign_bytes)


def _resident_peak(launch: FunctionLaunch, requests: int) -> MemoryMeasurement:
    """Without cgroups: the peak of resident memory, library pages included."""
    evict_files(launch.files)
    with launch.start(None) as running:
        latencies = tuple(running.request() for _ in range(requests))
        peak_mib = resident_memory(running.pid).peak / _MIB
    trial = Trial(latencies, None, 0.0)
    return MemoryMeasurement(peak_mib, None, 0.0, peak_mib, trial.median_ms, (Probe(None, None, trial.median_ms),))
