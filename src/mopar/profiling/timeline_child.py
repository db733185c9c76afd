"""Runs a model once or more while another process watches its memory; a process of its own.

Started as ``python -m mopar.profiling.timeline_child JOB.json``. Before each watched run the pages of the model's files
leave the process, so that weights come back as they are read, and ``ready`` goes to stdout; after a line on stdin
the run starts, and ``done`` follows it. The job and the answer are described in ``timeline_measured``.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from mopar.profiling._timing_child import PRIORITY, runner, session_options

_PR_SET_PDEATHSIG, _PR_SET_THP_DISABLE = 1, 41
_DONT_NEED = 4
_LIBC = ctypes.CDLL(None)


def drop_pages(paths: list[str]) -> None:
    """Let go of the unwritten pages of mapped files; the page cache keeps them."""
    for start, length in _mappings(paths):
        if _LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _DONT_NEED):
            raise OSError(f"the pages at {start:#x} cannot be dropped")


def _mappings(paths: list[str]) -> Iterator[tuple[int, int]]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] in paths:
            low, _, high = fields[0].partition("-")
            yield int(low, 16), int(high, 16) - int(low, 16)


def load_inputs(job: dict[str, Any]) -> dict[str, Any]:
    """The request, read anew: it counts as memory of the run."""
    with np.load(job["inputs"], allow_pickle=False) as archive:
        return {name: archive[f"input{i}"] for i, name in enumerate(job["names"])}


def say(word: str) -> None:
    """Tell the watching process."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Load, run until nothing new is touched but weights and tensors, then be watched."""
    session = ort.InferenceSession(job["model"], session_options(job, profile=True), providers=["CPUExecutionProvider"])
    codes = dict(zip(job["names"], job["codes"], strict=True))
    for _ in range(job["warm_runs"]):
        runner(session, load_inputs(job), codes)()
    for _ in range(job["repeats"]):
        drop_pages(job["files"])
        _LIBC.malloc_trim(0)
        say("ready")
        sys.stdin.readline()
        runner(session, load_inputs(job), codes)()
        say("done")
    began_ns = session.get_profiling_start_time_ns()
    return {"profile": session.end_profiling(), "began_ns": began_ns}


def main() -> None:
    """Do the job named on the command line."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _LIBC.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)  # a page per page
    job = json.loads(Path(sys.argv[1]).read_text())
    os.sched_setaffinity(0, {job["core"]})
    with contextlib.suppress(PermissionError):
        os.nice(PRIORITY)
    Path(job["answer"]).write_text(json.dumps(measure(job)))


if __name__ == "__main__":
    main()
