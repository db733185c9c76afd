"""Runs a model with the engine's profiler, interleaved with runs without it; a process of its own.

Started as ``python -P -m mopar.engine.timing.child JOB.json``. It imports nothing else of mopar than the documents
in ``job``, so that it starts quickly and holds only what it measures.
"""

import contextlib
import ctypes
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from mopar.engine.timing.job import (
    DISTURBED,
    FeedSpec,
    RunBudget,
    RunTime,
    SessionSpec,
    TimingAnswer,
    TimingJob,
    read_document,
    write_document,
)

Feeds = Mapping[str, npt.NDArray[np.generic]]

_PR_SET_PDEATHSIG = 1
_LOG_ERROR = 3
_STRING = 8
_MIN_EXTERNAL_BYTES = "1024"
_STEADY_RUNS = 40
_STEADY_SPREAD = 0.01
PRIORITY = -20  # fewer interruptions, where the user may have it
_PATIENCE = 2.5  # times the seconds of the budget, where others keep taking the core

_REFUSALS = tuple(
    getattr(ort_errors, name)
    for name in (
        "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "ModelLoaded",
        "NoModel", "NoSuchFile", "NotImplemented", "RuntimeException",
    )
)  # fmt: skip


def load_session(spec: SessionSpec, *, profile: bool) -> ort.InferenceSession:
    """The model, loaded; with the engine's profiler or without."""
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERROR
    options.intra_op_num_threads = spec.threads
    options.inter_op_num_threads = 1
    every, none = ort.GraphOptimizationLevel.ORT_ENABLE_ALL, ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = every if spec.optimize else none
    options.enable_cpu_mem_arena = spec.arena
    options.enable_mem_pattern = spec.memory_pattern
    for name, value in {**spec.thread_entries, **_file_entries(spec)}.items():
        options.add_session_config_entry(name, value)
    if spec.write is not None:
        options.optimized_model_filepath = spec.write
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = spec.profile_prefix
    return ort.InferenceSession(spec.model, options, providers=["CPUExecutionProvider"])


def _file_entries(spec: SessionSpec) -> dict[str, str]:
    """Configuration entries about weights, and about what the session writes."""
    entries = {}
    if not spec.prepack:
        entries["session.disable_prepacking"] = "1"
    if spec.write is not None:
        entries["session.optimized_model_external_initializers_file_name"] = Path(spec.write).name + ".data"
        entries["session.optimized_model_external_initializers_min_size_in_bytes"] = _MIN_EXTERNAL_BYTES
        entries["session.save_external_prepacked_constant_initializers"] = "1"
    if spec.memory_statistics is not None:
        entries["session.collect_node_memory_stats_to_file"] = spec.memory_statistics
    return entries


def load_feeds(spec: FeedSpec) -> Feeds:
    """The request, by input."""
    with np.load(spec.path, allow_pickle=False) as archive:
        return {name: archive[f"input{number}"] for number, name in enumerate(spec.names)}


def runner(session: ort.InferenceSession, feeds: Feeds, spec: FeedSpec) -> Callable[[], object]:
    """A call that runs once, on inputs bound beforehand (strings cannot be bound)."""
    codes = dict(zip(spec.names, spec.codes, strict=True))
    if _STRING in spec.codes:
        objects = {name: value.astype(object) if codes[name] == _STRING else value for name, value in feeds.items()}
        return lambda: session.run(None, objects)
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy_with_onnx_type(value, codes[name]))
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    return lambda: session.run_with_iobinding(binding)


def timed(run: Callable[[], object]) -> RunTime:
    """One run."""
    cpu, start = time.process_time_ns(), time.perf_counter_ns()
    run()
    wall_ns, cpu_ns = time.perf_counter_ns() - start, time.process_time_ns() - cpu
    return RunTime(wall_ns / 1e6, max(0, wall_ns - cpu_ns) / 1e6)


def steady(samples: Sequence[RunTime]) -> bool:
    """Whether more samples would hardly move the median."""
    if len(samples) < _STEADY_RUNS:
        return False
    low, middle, high = statistics.quantiles([run.wall_ms for run in samples], n=4)
    return high - low <= _STEADY_SPREAD * middle


def undisturbed(samples: Sequence[Sequence[RunTime]]) -> int:
    """How many rounds had the core to themselves, in every session."""
    return sum(all(run.lost_share <= DISTURBED for run in runs) for runs in zip(*samples, strict=True))


def measure(job: TimingJob) -> TimingAnswer:
    """Load, and run until the job's budget is spent."""
    feeds = load_feeds(job.feed)
    profiled = load_session(job.session, profile=True)
    runs = [runner(profiled, feeds, job.feed)]
    if job.alternate:
        plain = load_session(replace(job.session, write=None, memory_statistics=None), profile=False)
        runs.append(runner(plain, feeds, job.feed))
    samples = interleaved(runs, job.budget)
    return TimingAnswer(profiled.end_profiling(), tuple(samples[0]), tuple(samples[-1]))


def interleaved(runs: Sequence[Callable[[], object]], budget: RunBudget) -> list[list[RunTime]]:
    """The samples of each session: one run of each per round, until the budget is spent."""
    samples: list[list[RunTime]] = [[] for _ in runs]
    for _ in range(budget.warm_runs):
        for run in runs:
            run()
    start = time.monotonic()
    for count in range(budget.max_runs):
        spent = time.monotonic() - start
        enough = undisturbed(samples) >= budget.min_runs or spent >= _PATIENCE * budget.seconds
        if count >= budget.min_runs and enough and (spent >= budget.seconds or steady(samples[-1])):
            break
        # Who goes first changes, so that neither always finds what the other left in the cache.
        for number in range(len(runs)) if count % 2 else reversed(range(len(runs))):
            samples[number].append(timed(runs[number]))
    return samples


def main() -> None:
    """Do the job named on the command line."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    job = read_document(Path(sys.argv[1]), TimingJob)
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    with contextlib.suppress(PermissionError):
        os.nice(PRIORITY)
    try:
        answer = measure(job)
    except _REFUSALS as refusal:
        answer = TimingAnswer(error=str(refusal))
    write_document(Path(job.answer), answer)


if __name__ == "__main__":
    main()
