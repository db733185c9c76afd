"""Samples another process's resident memory as fast as possible while it runs a model."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mopar.engine.timing.child import PRIORITY
from mopar.limits import evict_files
from mopar.runtime.environment import ENVIRONMENT
from mopar.types import EngineError

_CHILD = "benchmarks.timeline.child"
_ROOT = Path(__file__).parents[2]
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MMAP_THRESHOLD_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 16
_DEADLINE_S = 300.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of one run: nanoseconds since the epoch, anonymous and file-backed bytes since the run began."""

    at_ns: int
    anonymous: int
    file: int


def watch(job: Path, directory: Path, repeats: int) -> list[list[Sample]]:
    """Run ``child`` and sample it from the other cores; return the samples of each sampled run.

    Args:
        job: the child's job; its core is the last of this process's.
        directory: for its log.
        repeats: how many runs the job has.

    Raises:
        EngineError: the child failed, or there is no core to sample it from.
    """
    cores = watched_cores()
    with _attentive(set(cores[:-1])):
        return _watched_runs(job, directory / "watched.log", repeats)


def watched_cores() -> list[int]:
    """Cores of this process, the sampled child's last. Raises EngineError where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise EngineError("memory over time cannot be watched from the core that runs the model: two are needed")
    return cores


@contextmanager
def _attentive(cores: set[int]) -> Iterator[None]:
    """Stay on ``cores``, with raised priority where the user may raise it."""
    usual, nice = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    os.sched_setaffinity(0, cores)
    try:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
        yield
    finally:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
        os.sched_setaffinity(0, usual)


def read_by_pages(files: Iterable[Path]) -> None:
    """Read files into the page cache anew, page by page.

    Files that were written or read ahead in large pieces lie there in folios of up to 2 MiB, and a fault maps a whole
    one.
    """
    paths = list(files)
    evict_files(paths)
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
            for offset in range(0, os.fstat(handle).st_size, _CHUNK_BYTES):
                os.pread(handle, _CHUNK_BYTES, offset)
        finally:
            os.close(handle)


def _watched_runs(job: Path, log: Path, repeats: int) -> list[list[Sample]]:
    environment = {
        **os.environ,
        **ENVIRONMENT,
        # Tensors above a size are mappings of their own, and unmapped once they are freed.
        "MALLOC_MMAP_THRESHOLD_": str(_MMAP_THRESHOLD_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(_MMAP_THRESHOLD_BYTES),
    }
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", _CHILD, str(job)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        ) as child,
    ):
        killer = threading.Timer(_DEADLINE_S, child.kill)
        killer.start()
        try:
            watched = [_watched_run(child) for _ in range(repeats)]
        except OSError as cause:
            child.kill()
            raise EngineError(f"memory over time: {_last_line(log)}") from cause
        finally:
            killer.cancel()
    if child.returncode:
        raise EngineError(f"memory over time: {_last_line(log)}")
    return watched


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "the process that was watched was killed"


def _watched_run(child: "subprocess.Popen[bytes]") -> list[Sample]:
    """Let the child run once, and sample its memory until it is done. Raises OSError where it has exited."""
    assert child.stdin is not None
    assert child.stdout is not None
    if child.stdout.readline() != b"ready\n":
        raise ProcessLookupError(child.pid)
    statm = os.open(f"/proc/{child.pid}/statm", os.O_RDONLY)
    try:
        before = os.pread(statm, 128, 0)
        done = threading.Event()
        listener = threading.Thread(target=_heard, args=(child, done))
        listener.start()
        child.stdin.write(b"go\n")
        child.stdin.flush()
        read: list[tuple[int, bytes]] = []
        while not done.is_set():
            read.append((time.time_ns(), os.pread(statm, 128, 0)))
        listener.join()
    finally:
        os.close(statm)
    base = _sample(0, before)
    seen = (_sample(at_ns, line) for at_ns, line in read)
    return [Sample(one.at_ns, one.anonymous - base.anonymous, one.file - base.file) for one in seen]


def _heard(child: "subprocess.Popen[bytes]", done: threading.Event) -> None:
    assert child.stdout is not None
    child.stdout.readline()
    done.set()


def _sample(at_ns: int, statm: bytes) -> Sample:
    """Parse a line of /proc/PID/statm: all pages, resident ones, and resident ones of files."""
    resident, file = (int(field) * _PAGE for field in statm.split()[1:3])
    return Sample(at_ns, resident - file, file)
