"""Memory over time as the kernel of the operating system counts it: what the analytic timeline is held against.

A child process runs the optimised, prepacked model; this process reads its resident memory from another core as fast as
it can, and the engine's profiler tells which kernel ran when. Weights are dropped from the child beforehand, so that
file-backed memory grows as they are read; malloc gives back what is freed, so that anonymous memory follows the
tensors. What the process holds before the request comes is taken off.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mopar.graph import Model
from mopar.limits import evict_files
from mopar.profiling._timing_child import PRIORITY
from mopar.profiling.inputs import Array
from mopar.profiling.layer_times import layers_of_kernels
from mopar.profiling.measure import Measurement
from mopar.profiling.trace import KernelEvent, read_trace
from mopar.runtime.environment import ENVIRONMENT
from mopar.types import PACKED_OPTIONS, EngineError, dtype_of_name

_CHILD = "mopar.profiling.timeline_child"
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MMAP_THRESHOLD_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 16
_DEADLINE_S = 300.0
_WARM_RUNS = 2
_NS_PER_US = 1000
_GAP_NS, _GAP_SHARE = 20_000, 0.02


@dataclass(frozen=True, slots=True)
class ResidentPoint:
    """Resident memory while one layer ran, in bytes, beyond what the process held before the request.

    Attributes:
        layer: its index.
        anonymous_bytes: the most of anonymous memory: tensors and workspace.
        file_bytes: of mapped files at its end: weights read so far.
        new_file_bytes: what of it this layer brought in: its own weights, unless an earlier layer read them.
        samples: how often it was seen, in all runs.
    """

    layer: int
    anonymous_bytes: int
    file_bytes: int
    new_file_bytes: int
    samples: int

    @property
    def in_need_bytes(self) -> int:
        """Tensors, and weights that the layer brought in."""
        return self.anonymous_bytes + self.new_file_bytes

    @property
    def loaded_bytes(self) -> int:
        """Tensors, and weights read so far."""
        return self.anonymous_bytes + self.file_bytes


@dataclass(frozen=True, slots=True)
class _Sample:
    """A moment of one run: nanoseconds since the epoch, anonymous and file-backed bytes since the run began."""

    at_ns: int
    anonymous: int
    file: int


def resident_timeline(
    model: Model,
    layer_nodes: Sequence[Sequence[str]],
    measured: Measurement,
    inputs: Mapping[str, Array],
    directory: Path,
    *,
    repeats: int = 12,
) -> dict[int, ResidentPoint]:
    """Layer -> resident memory, for the layers that ran long enough to be seen; the median of several runs.

    Args:
        model: in canonical form.
        layer_nodes: names of each layer's nodes.
        measured: of the model; its packed file is what runs.
        inputs: a value for each input.
        directory: for what passes between the processes.
        repeats: how many runs are watched.

    Raises:
        EngineError: the child failed, or there is no second core to watch it from.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise EngineError("memory over time cannot be watched from the core that runs the model: two are needed")
    job = _job(model, measured.packed, inputs, directory, core=cores[-1], repeats=repeats)
    _read_by_pages(measured.packed.parent.glob(f"{measured.packed.name}*"))
    with _attentive(set(cores[:-1])):
        watched = _watch(job, directory, repeats)
    answer = json.loads((directory / "watched.json").read_text())
    runs = read_trace(Path(answer["profile"]), skip_runs=_WARM_RUNS).runs
    layer_of = layers_of_kernels(measured.kernels, layer_nodes)
    seen = [
        _by_layer(events, answer["began_ns"], samples, layer_of) for events, samples in zip(runs, watched, strict=True)
    ]
    return _medians(seen)


@contextmanager
def _attentive(cores: set[int]) -> Iterator[None]:
    """Stay on ``cores``, before other processes there where the user may."""
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


def _read_by_pages(files: Iterable[Path]) -> None:
    """Bring files into the page cache anew, page by page.

    What was written or read ahead in large pieces lies there in pieces of up to 2 MiB, and a fault maps a whole one.
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


def _job(model: Model, packed: Path, inputs: Mapping[str, Array], directory: Path, *, core: int, repeats: int) -> Path:
    """What the child is to do, in a file."""
    feeds = {f"input{i}": np.ascontiguousarray(inputs[spec.name]) for i, spec in enumerate(model.inputs)}
    np.savez(directory / "watched.npz", allow_pickle=False, **feeds)
    job = {
        "model": str(packed),
        "files": [str(path.resolve()) for path in packed.parent.glob(f"{packed.name}*")],
        "inputs": str(directory / "watched.npz"),
        "names": [spec.name for spec in model.inputs],
        "codes": [dtype_of_name(spec.dtype).code for spec in model.inputs],
        "threads": 1,
        "core": core,
        "optimize": False,
        "prepack": PACKED_OPTIONS.prepack,
        "arena": PACKED_OPTIONS.arena,
        "memory_pattern": PACKED_OPTIONS.memory_pattern,
        "profile_prefix": str(directory / "watched"),
        "warm_runs": _WARM_RUNS,
        "repeats": repeats,
        "answer": str(directory / "watched.json"),
    }
    path = directory / "watched-job.json"
    path.write_text(json.dumps(job))
    return path


def _watch(job: Path, directory: Path, repeats: int) -> list[list[_Sample]]:
    """Run the child; the samples of each watched run."""
    environment = {
        **os.environ,
        **ENVIRONMENT,
        # Tensors of some size are mappings of their own, and gone once they are freed.
        "MALLOC_MMAP_THRESHOLD_": str(_MMAP_THRESHOLD_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(_MMAP_THRESHOLD_BYTES),
    }
    log = directory / "watched.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-P", "-m", _CHILD, str(job)],
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


def _watched_run(child: "subprocess.Popen[bytes]") -> list[_Sample]:
    """Let the child run once, and read its memory until it is done. Raises OSError where it is gone."""
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
    return [_Sample(one.at_ns, one.anonymous - base.anonymous, one.file - base.file) for one in seen]


def _heard(child: "subprocess.Popen[bytes]", done: threading.Event) -> None:
    assert child.stdout is not None
    child.stdout.readline()
    done.set()


def _sample(at_ns: int, statm: bytes) -> _Sample:
    """A line of /proc/PID/statm: pages in all, resident, and resident of files."""
    resident, file = (int(field) * _PAGE for field in statm.split()[1:3])
    return _Sample(at_ns, resident - file, file)


def _by_layer(
    events: Sequence[KernelEvent], began_ns: int, samples: Sequence[_Sample], layer_of: Mapping[int, int]
) -> dict[int, ResidentPoint]:
    """What was seen of each layer in one run; layers of which a kernel was not seen whole are left out."""
    times = [sample.at_ns for sample in samples]
    found: dict[int, ResidentPoint] = {}
    missed = set()
    for event in events:
        layer = layer_of.get(event.node)
        if layer is None:
            continue
        start_ns = began_ns + _NS_PER_US * event.start_us
        stop_ns = start_ns + _NS_PER_US * event.duration_us
        first, last = bisect_left(times, start_ns), bisect_right(times, stop_ns)
        if not _seen_whole(times, first, last):
            missed.add(layer)
            continue
        inside = samples[first:last]
        known = found.get(layer, ResidentPoint(layer, 0, 0, 0, 0))
        found[layer] = ResidentPoint(
            layer,
            max(known.anonymous_bytes, *(sample.anonymous for sample in inside)),
            max(known.file_bytes, inside[-1].file),
            known.new_file_bytes + max(0, inside[-1].file - samples[first - 1].file),
            known.samples + len(inside),
        )
    return {layer: point for layer, point in found.items() if layer not in missed}


def _seen_whole(times: Sequence[int], first: int, last: int) -> bool:
    """Whether samples ``first`` to ``last`` (exclusive) of a kernel begin and end close to it.

    Another process that takes the watching core for a moment leaves a gap, and pages that came in the gap would be
    counted for the wrong layer.
    """
    if first in {0, last} or last == len(times):
        return False
    most_ns = max(_GAP_NS, _GAP_SHARE * (times[last] - times[first - 1]))
    return times[first] - times[first - 1] <= most_ns and times[last] - times[last - 1] <= most_ns


def _medians(runs: Sequence[Mapping[int, ResidentPoint]]) -> dict[int, ResidentPoint]:
    """Each layer's median over the runs in which it was seen."""
    found = {}
    for layer in sorted({layer for run in runs for layer in run}):
        points = [run[layer] for run in runs if layer in run]
        found[layer] = ResidentPoint(
            layer=layer,
            anonymous_bytes=round(statistics.median(point.anonymous_bytes for point in points)),
            file_bytes=round(statistics.median(point.file_bytes for point in points)),
            new_file_bytes=round(statistics.median(point.new_file_bytes for point in points)),
            samples=sum(point.samples for point in points),
        )
    return found
