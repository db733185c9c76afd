"""The search for a function's required memory: runs under limits, interleaved with runs without one."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from mopar.measurement.bracket import Bracket
from mopar.measurement.trial import Trial, TrialSetup, run_trial

_MIB = 1 << 20


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


class MemorySearch:
    """The search, with the runs that it has made.

    Args:
        setup: of all runs.
        progress: called with a line per run.
    """

    def __init__(self, setup: TrialSetup, progress: Callable[[str], None]) -> None:
        self._setup, self._policy, self._progress = setup, setup.policy, progress
        self._probes: list[Probe] = []
        self._references: list[Trial] = []
        self._since_reference = 0
        self._serving_bound = self._loading_bound = False  # by whether the last limit that failed let it load

    def run(self, surplus: float) -> MemoryMeasurement:
        """Search between what cannot be reclaimed and what is used without a limit.

        Args:
            surplus: bytes by which less than expected is likely to do.
        """
        best = self._reference()
        if best.foreign_bytes < self._policy.libraries_mib * _MIB:
            best = self._reference()  # the first one brought library pages in, which later runs find charged elsewhere
        slack = round(self._policy.floor_slack_mib * _MIB)
        too_small = max(0, *(run.floor_bytes - slack for run in self._references))
        held, loading = _held_bytes(best), _loading_bytes(best)
        expected = max(held + round(self._policy.guess_slack_mib * _MIB), loading)
        most = self._policy.surplus_share * expected
        surplus = max(-most, min(surplus, most))
        bracket = Bracket(too_small, best.peak_bytes, held - surplus, expected - surplus, self._policy)
        while (limit := bracket.next_limit()) is not None:
            trial = self._limited(limit)
            if trial.failure is None:
                best = trial
            bracket.tried(limit, enough=trial.failure is None)
        limit, best = self._confirmed(bracket.enough, best)
        return self._measured(limit, expected, best)

    def _confirmed(self, limit: int, found: Trial) -> tuple[int, Trial]:
        """Run again at the limit that was found and, where that fails, at the next size up.

        Close to what is needed, one run may succeed where the next one fails. No limit is tried above what was charged
        without one.
        """
        most = max(run.peak_bytes for run in self._references)
        held = 0
        while limit < most:
            trial = self._limited(limit)
            if trial.failure is not None:
                held, limit = 0, min(most, limit + math.ceil(self._policy.fine_bytes(limit)))
                continue
            held += 1
            if held >= (self._policy.confirmed_loads if self._loading_bound and self._loads_more(limit) else 1):
                return limit, trial
        return limit, found

    def _loads_more(self, limit: int) -> bool:
        """Whether loading holds more than serving does, by more than what a limit is found to."""
        more = max(run.floor_bytes - run.kept_bytes for run in self._references)
        return more > self._policy.fine_bytes(limit)

    def _measured(self, limit: int, expected: int, trial: Trial) -> MemoryMeasurement:
        return MemoryMeasurement(
            required_mib=_required_bytes(limit, trial, serving_bound=self._serving_bound) / _MIB,
            limit_mib=limit / _MIB,
            foreign_mib=trial.foreign_bytes / _MIB,
            peak_mib=max(run.peak_bytes for run in self._references) / _MIB,
            latency_ms_unlimited=self._reference_ms(),
            limits_tried=tuple(self._probes),
            surplus_mib=(expected - limit) / _MIB,
        )

    def _limited(self, limit: int) -> Trial:
        """Try a limit, once more where only a little slowness speaks against it: that may be noise."""
        if self._since_reference >= self._policy.reference_every:
            self._reference()
        trial = self._trial(limit)
        if trial.failure == "slow" and trial.median_ms < self._policy.retry_factor * self._slow_ms():
            self._reference()
            trial = self._trial(limit)
        self._since_reference += bool(trial.latencies_ms)
        if trial.failure is not None:
            self._serving_bound = bool(trial.latencies_ms)
            self._loading_bound = not self._serving_bound
        return trial

    def _trial(self, limit: int) -> Trial:
        # Too small a limit can keep a process reclaiming for ever instead of killing it.
        longest_s = max(self._whole_s(trial) for trial in self._references)
        deadline_s = self._policy.patience * longest_s + self._policy.patience_s
        return self._note(run_trial(self._setup, limit, deadline_s=deadline_s, slow_ms=self._slow_ms()), limit)

    def _whole_s(self, reference: Trial) -> float:
        """How long a run takes with as many requests as one under a limit has to answer."""
        return reference.duration_s + reference.median_ms / 1e3 * (self._policy.requests - len(reference.latencies_ms))

    def _reference(self) -> Trial:
        few = replace(self._policy, requests=min(self._policy.requests, self._policy.reference_requests))
        setup = replace(self._setup, policy=few)
        trial = self._note(run_trial(setup, None, deadline_s=self._policy.deadline_s), None)
        self._references.append(trial)
        self._since_reference = 0
        return trial

    def _reference_ms(self) -> float:
        """Median latency of the last two runs without a limit: machines drift."""
        latencies = [latency for trial in self._references[-2:] for latency in trial.latencies_ms]
        return Trial(tuple(latencies), None, 0.0).median_ms

    def _slow_ms(self) -> float:
        return self._reference_ms() * (1 + self._policy.tolerance)

    def _note(self, trial: Trial, limit: int | None) -> Trial:
        latency_ms = trial.median_ms if trial.latencies_ms else None
        self._probes.append(Probe(None if limit is None else limit / _MIB, trial.failure, latency_ms))
        name = "no limit" if limit is None else f"limit {limit / _MIB:.1f} MiB"
        timing = "" if latency_ms is None else f", {latency_ms:.2f} ms"
        self._progress(f"memory: {name}: {trial.failure or 'ok'}{timing}")
        return trial


def _held_bytes(trial: Trial) -> int:
    """What a run without a limit used in the end, or had to keep at some time, loading included."""
    return max(trial.settled_bytes, trial.floor_bytes)


def _loading_bytes(trial: Trial) -> int:
    """What a run without a limit had to have in memory while it loaded.

    What it had to keep for loading alone is the largest weight in a packed form, made from a plain one of the same
    size that the engine walks through many times: without room for both, each walk reads it from the disk again.
    """
    return trial.floor_bytes + (trial.floor_bytes - trial.kept_bytes)


def _required_bytes(limit: int, trial: Trial, *, serving_bound: bool) -> int:
    """Limit and foreign pages together, as far as both are needed at the same time.

    Where serving needs the limit, it needs the foreign pages beside it. Where only loading does, that leaves
    room for them afterwards, and while loading they could be evicted.
    """
    if serving_bound:
        return limit + trial.foreign_bytes
    return max(limit, trial.settled_bytes + trial.foreign_bytes)
