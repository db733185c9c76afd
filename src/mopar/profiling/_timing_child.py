"""Runs a model by turns with and without the engine's profiler; a process of its own.

Started as ``python -P _timing_child.py JOB.json``. It imports nothing of mopar, so that it starts
quickly and holds only what it measures. The job and the answer are described in ``engine_runs``.
"""

import contextlib
import ctypes
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

_PR_SET_PDEATHSIG = 1
_LOG_ERROR = 3
_STRING = 8
_STEADY_RUNS = 40
_STEADY_SPREAD = 0.01
_DISTURBED = 0.01
PRIORITY = -20  # fewer interruptions, where the user may have it
_PATIENCE = 2.5  # times the seconds asked for, where others keep taking the core

_REFUSALS = tuple(
    getattr(ort_errors, name)
    for name in (
        "EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "ModelLoaded",
        "NoModel", "NoSuchFile", "NotImplemented", "RuntimeException",
    )
)  # fmt: skip


def session_options(job: dict[str, Any], *, profile: bool) -> ort.SessionOptions:
    """How the engine loads and runs, as the bundle's functions will."""
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERROR
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    all_of_it, none = ort.GraphOptimizationLevel.ORT_ENABLE_ALL, ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = all_of_it if job["optimize"] else none
    options.enable_cpu_mem_arena = job["arena"]
    options.enable_mem_pattern = job["memory_pattern"]
    for name, value in job["thread_entries"].items():
        options.add_session_config_entry(name, value)
    if not job["prepack"]:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if job.get("write"):
        options.optimized_model_filepath = job["write"]
        data = Path(job["write"]).name + ".data"
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", data)
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", str(job["min_external_bytes"])
        )
        options.add_session_config_entry("session.save_external_prepacked_constant_initializers", "1")
    if job.get("memory_statistics"):
        options.add_session_config_entry("session.collect_node_memory_stats_to_file", job["memory_statistics"])
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = job["profile_prefix"]
    return options


def runner(session: ort.InferenceSession, feeds: dict[str, Any], codes: dict[str, int]) -> Callable[[], object]:
    """A call that runs once, on inputs bound beforehand (strings cannot be bound)."""
    if any(code == _STRING for code in codes.values()):
        feeds = {name: value.astype(object) if codes[name] == _STRING else value for name, value in feeds.items()}
        return lambda: session.run(None, feeds)
    binding = session.io_binding()
    for name, value in feeds.items():
        bound = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(value, codes[name])
        binding.bind_ortvalue_input(name, bound)
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    return lambda: session.run_with_iobinding(binding)


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of one run, and how many of them another process had the core."""
    cpu, start = time.process_time_ns(), time.perf_counter_ns()
    run()
    wall_ns, cpu_ns = time.perf_counter_ns() - start, time.process_time_ns() - cpu
    return wall_ns / 1e6, max(0, wall_ns - cpu_ns) / 1e6


def steady(samples: list[tuple[float, float]]) -> bool:
    """Whether more samples would hardly move the median."""
    if len(samples) < _STEADY_RUNS:
        return False
    low, middle, high = statistics.quantiles([wall for wall, _ in samples], n=4)
    return high - low <= _STEADY_SPREAD * middle


def undisturbed(samples: list[list[tuple[float, float]]]) -> int:
    """How many turns had the core to themselves, in every session."""
    return sum(all(lost <= _DISTURBED * wall for wall, lost in turn) for turn in zip(*samples, strict=True))


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Load, and run by turns until the job's time or runs are spent."""
    with np.load(job["inputs"], allow_pickle=False) as archive:
        feeds = {name: archive[f"input{i}"] for i, name in enumerate(job["names"])}
    codes = dict(zip(job["names"], job["codes"], strict=True))
    profiled = ort.InferenceSession(
        job["model"], session_options(job, profile=True), providers=["CPUExecutionProvider"]
    )
    turns = [runner(profiled, feeds, codes)]
    samples: list[list[tuple[float, float]]] = [[]]
    if job["alternate"]:
        plain = ort.InferenceSession(
            job["model"],
            session_options({**job, "write": None, "memory_statistics": None}, profile=False),
            providers=["CPUExecutionProvider"],
        )
        turns.append(runner(plain, feeds, codes))
        samples.append([])
    for _ in range(job["warm_runs"]):
        for run in turns:
            run()
    start = time.monotonic()
    for count in range(job["max_runs"]):
        spent = time.monotonic() - start
        enough = undisturbed(samples) >= job["min_runs"] or spent >= _PATIENCE * job["seconds"]
        if count >= job["min_runs"] and enough and (spent >= job["seconds"] or steady(samples[-1])):
            break
        # Who goes first changes, so that neither always finds what the other left in the cache.
        for turn in range(len(turns)) if count % 2 else reversed(range(len(turns))):
            samples[turn].append(timed(turns[turn]))
    return {"profile": profiled.end_profiling(), "profiled": samples[0], "plain": samples[-1]}


def main() -> None:
    """Do the job named on the command line."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    job = json.loads(Path(sys.argv[1]).read_text())
    if job["cores"]:
        os.sched_setaffinity(0, job["cores"])
    with contextlib.suppress(PermissionError):
        os.nice(PRIORITY)
    try:
        answer = measure(job)
    except _REFUSALS as refusal:
        answer = {"error": str(refusal)}
    Path(job["answer"]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
