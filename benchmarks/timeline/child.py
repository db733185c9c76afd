"""Runs a model once or more in a separate process, while another process samples its memory.

Started as ``python -m benchmarks.timeline.child JOB.json``. Before each sampled run the pages of the model's files are
dropped from the process, so that weights are faulted in as they are read, and ``ready`` goes to stdout; after a line on
stdin the run starts, and ``done`` follows it. The job and the answer are declared in ``job``.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.timeline.job import WatchAnswer, WatchJob
from mopar.engine.timing.child import PRIORITY, load_feeds, load_session, runner
from mopar.engine.timing.job import read_document, write_document

_PR_SET_PDEATHSIG, _PR_SET_THP_DISABLE = 1, 41
_DONT_NEED = 4
_LIBC = ctypes.CDLL(None)


def drop_pages(paths: Sequence[str]) -> None:
    """Unmap the clean pages of mapped files; the page cache keeps them."""
    for start, length in _mappings(paths):
        if _LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _DONT_NEED):
            raise OSError(f"the pages at {start:#x} cannot be dropped")


def _mappings(paths: Sequence[str]) -> Iterator[tuple[int, int]]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] in paths:
            low, _, high = fields[0].partition("-")
            yield int(low, 16), int(high, 16) - int(low, 16)


def say(word: str) -> None:
    """Send a line to the sampling process."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def measure(job: WatchJob) -> WatchAnswer:
    """Load, run until only weights and tensors are touched anew, then run while being sampled.

    The request is read anew for each run: it counts as memory of the run.
    """
    session = load_session(job.session, profile=True)
    for _ in range(job.warm_runs):
        runner(session, load_feeds(job.feed), job.feed)()
    for _ in range(job.repeats):
        drop_pages(job.files)
        _LIBC.malloc_trim(0)
        say("ready")
        sys.stdin.readline()
        runner(session, load_feeds(job.feed), job.feed)()
        say("done")
    began_ns = session.get_profiling_start_time_ns()
    return WatchAnswer(session.end_profiling(), began_ns)


def main() -> None:
    """Do the job named on the command line."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _LIBC.prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)  # single pages, no huge ones
    job = read_document(Path(sys.argv[1]), WatchJob)
    os.sched_setaffinity(0, {job.core})
    with contextlib.suppress(PermissionError):
        os.nice(PRIORITY)
    write_document(Path(job.answer), measure(job))


if __name__ == "__main__":
    main()
