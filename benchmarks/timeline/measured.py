"""Resident memory while each layer of a model runs.

A child process runs the optimised, prepacked model; this process samples its resident memory from another core as fast
as it can, and the engine's profiler records which kernel ran when. Weights are dropped from the child beforehand, so
that file-backed memory grows as they are read; malloc returns freed memory, so that anonymous memory follows the
tensors. What the process held before the request is subtracted.
"""

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timeline.job import WatchAnswer, WatchJob
from benchmarks.timeline.watch import Sample, read_by_pages, watch, watched_cores
from mopar.engine.timing.job import SessionSpec, read_document, write_document
from mopar.engine.trace import KernelEvent, read_trace
from mopar.graph import Model
from mopar.profiling.engine_runs import write_feeds
from mopar.profiling.inputs import Array
from mopar.profiling.layer_times import layers_of_kernels
from mopar.profiling.measure import Measurement
from mopar.runtime.threads import session_entries
from mopar.types import PACKED_OPTIONS

_WARM_RUNS = 2
_NS_PER_US = 1000
_GAP_NS, _GAP_SHARE = 20_000, 0.02


@dataclass(frozen=True, slots=True)
class ResidentPoint:
    """Resident memory while one layer ran, in bytes, beyond what the process held before the request.

    Attributes:
        layer: its index.
        anonymous_bytes: peak of anonymous memory: tensors and workspace.
        file_bytes: of mapped files at its end: weights read so far.
        new_file_bytes: the part of it that this layer faulted in: its own weights, unless an earlier layer read them.
        samples: how many, in all runs.
    """

    layer: int
    anonymous_bytes: int
    file_bytes: int
    new_file_bytes: int
    samples: int

    @property
    def in_need_bytes(self) -> int:
        """Tensors, and weights that the layer faulted in."""
        return self.anonymous_bytes + self.new_file_bytes

    @property
    def loaded_bytes(self) -> int:
        """Tensors, and weights read so far."""
        return self.anonymous_bytes + self.file_bytes


def resident_timeline(
    model: Model,
    layer_nodes: Sequence[Sequence[str]],
    measured: Measurement,
    inputs: Mapping[str, Array],
    directory: Path,
    *,
    repeats: int = 12,
) -> dict[int, ResidentPoint]:
    """Layer -> resident memory, for the layers that ran long enough to be sampled; the median of several runs.

    Args:
        model: in canonical form.
        layer_nodes: names of each layer's nodes.
        measured: measurements of the model; its packed file is what runs.
        inputs: a value for each input.
        directory: for files exchanged between the processes.
        repeats: how many runs are sampled.

    Raises:
        EngineError: the child failed, or there is no second core to sample it from.
    """
    files = sorted(measured.packed.parent.glob(f"{measured.packed.name}*"))
    job = _job(model, files, inputs, directory, core=watched_cores()[-1], repeats=repeats)
    read_by_pages(files)
    watched = watch(job, directory, repeats)
    answer = read_document(directory / "watched.json", WatchAnswer)
    runs = read_trace(Path(answer.profile), skip_runs=_WARM_RUNS).runs
    layer_of = layers_of_kernels(measured.kernels, layer_nodes)
    seen = [
        _by_layer(events, answer.began_ns, samples, layer_of) for events, samples in zip(runs, watched, strict=True)
    ]
    return _medians(seen)


def _job(
    model: Model, files: Sequence[Path], inputs: Mapping[str, Array], directory: Path, *, core: int, repeats: int
) -> Path:
    """Write the child's job to a file."""
    session = SessionSpec(
        model=str(files[0]),
        profile_prefix=str(directory / "watched"),
        threads=1,
        thread_entries=session_entries([]),
        optimize=False,
        prepack=PACKED_OPTIONS.prepack,
        arena=PACKED_OPTIONS.arena,
        memory_pattern=PACKED_OPTIONS.memory_pattern,
    )
    job = WatchJob(
        session=session,
        feed=write_feeds(directory / "watched.npz", inputs, model.inputs),
        files=tuple(str(path.resolve()) for path in files),
        core=core,
        warm_runs=_WARM_RUNS,
        repeats=repeats,
        answer=str(directory / "watched.json"),
    )
    path = directory / "watched-job.json"
    write_document(path, job)
    return path


def _by_layer(
    events: Sequence[KernelEvent], began_ns: int, samples: Sequence[Sample], layer_of: Mapping[int, int]
) -> dict[int, ResidentPoint]:
    """Samples of each layer in one run; layers with a kernel that was not sampled throughout are left out."""
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

    Another process that takes the sampling core for a moment leaves a gap, and pages faulted in during the gap would be
    counted for the wrong layer.
    """
    if first in {0, last} or last == len(times):
        return False
    most_ns = max(_GAP_NS, _GAP_SHARE * (times[last] - times[first - 1]))
    return times[first] - times[first - 1] <= most_ns and times[last] - times[last - 1] <= most_ns


def _medians(runs: Sequence[Mapping[int, ResidentPoint]]) -> dict[int, ResidentPoint]:
    """Each layer's median over the runs in which it was sampled."""
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
