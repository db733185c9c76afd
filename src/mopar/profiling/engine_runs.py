"""Timed runs of ONNX Runtime in a process of its own, pinned to a core: those that nothing disturbed."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mopar.engine.timing.job import DISTURBED, FeedSpec, RunBudget, RunTime, SessionSpec, TimingAnswer, TimingJob
from mopar.engine.timing.parent import run_timing
from mopar.engine.trace import Trace, read_trace
from mopar.files import temporary_folder
from mopar.profiling.inputs import Array
from mopar.runtime.threads import session_entries, shares_of_cores
from mopar.types import EngineOptions, TensorSpec, dtype_of_name

_FEWEST_ROUNDS = 7
_FEWEST_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class EngineRuns:
    """What the timed runs came to.

    Attributes:
        trace: of the profiled session's timed runs (warm runs left out).
        profiled_ms: latency of each run of the profiled session. Time in which another process had the
            core is taken off where one thread ran.
        plain_ms: latency of each run without the profiler, interleaved with the profiled ones; the
            profiled ones again where there was no second session.
        lost: of each profiled run, the share of its time in which another process had the core.
        disturbed: rounds left out because another process had the core for longer than in those kept.
    """

    trace: Trace
    profiled_ms: tuple[float, ...]
    plain_ms: tuple[float, ...]
    lost: tuple[float, ...]
    disturbed: int


def scratch_directory() -> AbstractContextManager[Path]:
    """A directory that is gone afterwards; in ``TMPDIR``."""
    return temporary_folder("mopar-profile-")


def run_engine(
    model: Path,
    inputs: Mapping[str, Array],
    specs: Sequence[TensorSpec],
    directory: Path,
    *,
    options: EngineOptions,
    budget: RunBudget,
    threads: int = 1,
    core: int | None = None,
    alternate: bool = True,
    write: Path | None = None,
    memory_statistics: Path | None = None,
) -> EngineRuns:
    """Load ``model`` in a process of its own, run it, and give its profile back.

    Args:
        model: an ONNX file.
        inputs: a value for each of ``specs``.
        specs: the model's inputs.
        directory: for what passes between the processes.
        options: how the engine loads and runs.
        budget: how many runs.
        threads: of an operator.
        core: the process is pinned to it; None leaves it where it is. Several threads get cores of their own, as
            in a function.
        alternate: whether runs of a second session without the profiler are interleaved with those of the first.
        write: where to write the optimised model, its weights packed; beside it, its data as ``.data``.
        memory_statistics: where the engine is to write what memory each node took.

    Raises:
        EngineError: ONNX Runtime refuses the model or the inputs, or its process dies.
    """
    shares = shares_of_cores(os.sched_getaffinity(0), threads)
    session = SessionSpec(
        model=str(model),
        profile_prefix=str(directory / "engine"),
        threads=threads,
        thread_entries=session_entries(shares),
        optimize=options.optimize == "all",
        prepack=options.prepack,
        arena=options.arena,
        memory_pattern=options.memory_pattern,
        write=None if write is None else str(write),
        memory_statistics=None if memory_statistics is None else str(memory_statistics),
    )
    job = TimingJob(
        session=session,
        feed=write_feeds(directory / "inputs.npz", inputs, specs),
        cores=tuple(shares[0]) if shares else () if core is None else (core,),
        budget=budget,
        alternate=alternate,
        answer=str(directory / "answer.json"),
    )
    return _undisturbed(run_timing(job, directory), budget.warm_runs, threads)


def write_feeds(path: Path, inputs: Mapping[str, Array], specs: Sequence[TensorSpec]) -> FeedSpec:
    """Write a request for another process; objects would need pickle, so they pass as text."""
    values = (inputs[spec.name] for spec in specs)
    flat = [
        value.astype(str) if value.dtype.kind == "O" else np.ascontiguousarray(value).reshape(value.shape)
        for value in values
    ]
    np.savez(path, allow_pickle=False, **{f"input{number}": value for number, value in enumerate(flat)})
    codes = tuple(dtype_of_name(spec.dtype).code for spec in specs)
    return FeedSpec(str(path), tuple(spec.name for spec in specs), codes)


def _undisturbed(answer: TimingAnswer, warm_runs: int, threads: int) -> EngineRuns:
    """The runs that nothing disturbed, with what the profiler wrote of them; its file is gone afterwards."""
    profile = Path(answer.profile)
    trace = read_trace(profile, skip_runs=warm_runs)
    profile.unlink()
    rounds = tuple(zip(answer.profiled, answer.plain, strict=True))
    kept = undisturbed_rounds(rounds)
    return EngineRuns(
        Trace(tuple(trace.runs[number] for number in kept)),
        profiled_ms=tuple(_own_ms(rounds[number][0], threads) for number in kept),
        plain_ms=tuple(_own_ms(rounds[number][1], threads) for number in kept),
        lost=tuple(rounds[number][0].lost_share for number in kept),
        disturbed=len(rounds) - len(kept),
    )


def _own_ms(run: RunTime, threads: int) -> float:
    """A run's latency as on a core of its own; with several threads nobody can tell."""
    return run.wall_ms - run.lost_ms if threads == 1 else run.wall_ms


def undisturbed_rounds(rounds: Sequence[tuple[RunTime, RunTime]]) -> tuple[int, ...]:
    """Which rounds to keep: those whose runs lost at most 1% to other processes on their core.

    Where these are fewer than a quarter, or than seven, the quarter (the seven) that lost least.

    Args:
        rounds: of the run with the profiler and the one without.
    """
    shares = [max(run.lost_share for run in pair) for pair in rounds]
    fewest = max(_FEWEST_ROUNDS, int(_FEWEST_SHARE * len(rounds)))
    kept = [number for number, share in enumerate(shares) if share <= DISTURBED]
    if len(kept) < fewest:
        kept = sorted(sorted(range(len(rounds)), key=lambda number: shares[number])[:fewest])
    return tuple(kept)
