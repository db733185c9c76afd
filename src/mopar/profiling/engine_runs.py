"""Timed runs of ONNX Runtime in a child process, pinned to a core."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from mopar.engine.trace import Trace, read_trace
from mopar.files import temporary_folder
from mopar.profiling.inputs import Array
from mopar.profiling.load import core_ticks
from mopar.runtime.environment import ENVIRONMENT
from mopar.runtime.threads import session_entries, shares_of_cores
from mopar.types import EngineError, EngineOptions, TensorSpec, dtype_of_name

_CHILD = Path(__file__).with_name("_timing_child.py")
_MIN_EXTERNAL_BYTES = 1024
_DEADLINE_S = 3600.0
DISTURBED = 0.01
"""Share of a run above which what others took of the core counts as a disturbance."""
_FEWEST_TURNS = 7
_WATCH_S = 0.1


@dataclass(frozen=True, slots=True)
class RunBudget:
    """How long a measurement goes on: at least ``min_runs``, then until ``seconds`` or ``max_runs`` are spent.

    It stops sooner, from 40 runs on, where the interquartile range is within 1% of the median, and goes
    on up to 2.5 times as long where fewer than ``min_runs`` had the core to themselves.
    """

    seconds: float = 4.0
    min_runs: int = 15
    max_runs: int = 400
    warm_runs: int = 3


@dataclass(frozen=True, slots=True)
class EngineRuns:
    """What the timed runs came to.

    Attributes:
        trace: of the profiled session's timed runs (warm runs left out).
        profiled_ms: latency of each run of the profiled session. Time in which another process had the
            core is taken off where one thread ran.
        plain_ms: latency of each run without the profiler, taken by turns with the profiled ones; the
            profiled ones again where there was no second session.
        lost: of each profiled run, the share of its time in which another process had the core.
        disturbed: turns left out because another process had the core for longer than in those kept.
    """

    trace: Trace
    profiled_ms: tuple[float, ...]
    plain_ms: tuple[float, ...]
    lost: tuple[float, ...]
    disturbed: int


class _Answer(msgspec.Struct):
    profile: str = ""
    profiled: tuple[tuple[float, float], ...] = ()
    plain: tuple[tuple[float, float], ...] = ()
    error: str | None = None


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
        alternate: whether a second session without the profiler runs by turns with the first.
        write: where to write the optimised model, its weights packed; beside it, its data as ``.data``.
        memory_statistics: where the engine is to write what memory each node took.

    Raises:
        EngineError: ONNX Runtime refuses the model or the inputs, or its process dies.
    """
    feeds = {f"input{i}": contiguous(inputs[spec.name]) for i, spec in enumerate(specs)}
    np.savez(directory / "inputs.npz", allow_pickle=False, **feeds)
    shares = shares_of_cores(os.sched_getaffinity(0), threads)
    job = {
        "model": str(model),
        "inputs": str(directory / "inputs.npz"),
        "names": [spec.name for spec in specs],
        "codes": [dtype_of_name(spec.dtype).code for spec in specs],
        "threads": threads,
        "cores": shares[0] if shares else [] if core is None else [core],
        "thread_entries": session_entries(shares),
        "optimize": options.optimize == "all",
        "prepack": options.prepack,
        "arena": options.arena,
        "memory_pattern": options.memory_pattern,
        "write": str(write) if write else None,
        "memory_statistics": str(memory_statistics) if memory_statistics else None,
        "min_external_bytes": _MIN_EXTERNAL_BYTES,
        "profile_prefix": str(directory / "engine"),
        "alternate": alternate,
        "seconds": budget.seconds,
        "min_runs": budget.min_runs,
        "max_runs": budget.max_runs,
        "warm_runs": budget.warm_runs,
        "answer": str(directory / "answer.json"),
    }
    return _undisturbed(_run_child(job, directory, model), budget.warm_runs, threads)


def _undisturbed(answer: _Answer, warm_runs: int, threads: int) -> EngineRuns:
    """The runs that nothing disturbed, with what the profiler wrote of them; its file is gone afterwards."""
    profile = Path(answer.profile)
    trace = read_trace(profile, skip_runs=warm_runs)
    profile.unlink()
    turns = tuple(zip(answer.profiled, answer.plain, strict=True))
    kept = undisturbed_turns(turns)
    return EngineRuns(
        Trace(tuple(trace.runs[turn] for turn in kept)),
        profiled_ms=tuple(_own_ms(*turns[turn][0], threads) for turn in kept),
        plain_ms=tuple(_own_ms(*turns[turn][1], threads) for turn in kept),
        lost=tuple(_lost_share(turns[turn][0]) for turn in kept),
        disturbed=len(turns) - len(kept),
    )


def _own_ms(wall_ms: float, lost_ms: float, threads: int) -> float:
    """A run's latency as on a core of its own; with several threads nobody can tell."""
    return wall_ms - lost_ms if threads == 1 else wall_ms


def _lost_share(run: tuple[float, float]) -> float:
    wall_ms, lost_ms = run
    return lost_ms / wall_ms if wall_ms else 0.0


def undisturbed_turns(turns: Sequence[tuple[tuple[float, float], tuple[float, float]]]) -> tuple[int, ...]:
    """Which turns to keep: those whose runs lost at most 1% to other processes on their core.

    Where these are fewer than a quarter, or than seven, the quarter (the seven) that lost least.

    Args:
        turns: of the profiled and the plain run, milliseconds in all and those that others took.
    """
    shares = [max(_lost_share(run) for run in turn) for turn in turns]
    fewest = max(_FEWEST_TURNS, len(turns) // 4)
    kept = [turn for turn, share in enumerate(shares) if share <= DISTURBED]
    if len(kept) < fewest:
        kept = sorted(sorted(range(len(turns)), key=lambda turn: shares[turn])[:fewest])
    return tuple(kept)


def idlest_core() -> int:
    """Of the cores that this process may use, the one that was idle most in the last tenth of a second."""
    allowed = os.sched_getaffinity(0)
    before = core_ticks()
    time.sleep(_WATCH_S)
    idle = {core: ticks - before.get(core, (0, 0))[1] for core, (_, ticks) in core_ticks().items()}
    # The first core serves most interrupts, so it is the last choice of equals.
    return max(allowed, key=lambda core: (idle.get(core, 0), core))


def contiguous(value: Array) -> Array:
    """A value as it passes to another process. Objects would need pickle; text does as well."""
    return value.astype(str) if value.dtype.kind == "O" else np.ascontiguousarray(value).reshape(value.shape)


def _run_child(job: Mapping[str, object], directory: Path, model: Path) -> _Answer:
    job_file, answer_file = directory / "job.json", directory / "answer.json"
    job_file.write_text(json.dumps(job))
    answer_file.unlink(missing_ok=True)
    environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(_CHILD), str(job_file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,  # no file: the disk may be full
            env=environment,
            timeout=_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as cause:
        raise EngineError(f"{model.name}: measuring took over {_DEADLINE_S:.0f} s") from cause
    if done.returncode != 0:
        ending = _ending(done.returncode, done.stderr.decode(errors="replace"))
        raise EngineError(f"{model.name}: the measuring process {ending}")
    answer = msgspec.json.decode(answer_file.read_bytes(), type=_Answer)
    if answer.error is not None:
        raise EngineError(f"{model.name}: ONNX Runtime: {' '.join(answer.error.split())}")
    return answer


def _ending(status: int, log: str) -> str:
    """How a process ended, in words."""
    if status < 0:
        hint = "; is there enough memory?" if -status == signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-status).name}{hint}"
    lines = log.strip().splitlines()
    return f"failed: {lines[-1] if lines else f'exit status {status}'}"
