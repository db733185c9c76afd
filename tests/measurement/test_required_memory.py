"""Required memory, measured on processes for which it is known."""

import ctypes
import importlib.metadata
import itertools
import math
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Self, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.limits import Cgroup, detect_cgroups
from mopar.measurement import memory_search as searching
from mopar.measurement import required_memory as measuring
from mopar.measurement import trial as memory_trial
from mopar.measurement.memory_search import MemoryMeasurement
from mopar.measurement.policy import MEMORY
from mopar.measurement.required_memory import required_memory
from mopar.measurement.trial import Trial, TrialSetup
from mopar.platforms.base import CallTiming, FunctionRun
from mopar.types import DeploymentError, EngineError

MIB = 1 << 20
STANDIN = Path(__file__).with_name("standin.py")


def onnxruntime_library() -> Path:
    (file,) = (
        file for file in importlib.metadata.files("onnxruntime") or () if file.name.startswith("libonnxruntime.so")
    )
    return Path(str(file.locate())).resolve()


class StandInRunning:
    """The stand-in's process, controlled over its standard streams."""

    def __init__(self, argv: list[str]) -> None:
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._expect(b"ready\n", EngineError)

    timings: Sequence[CallTiming] = ()

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()

    def request(self) -> float:
        began = time.perf_counter()
        try:
            self._stream(self._process.stdin).write(b"\n")
            self._stream(self._process.stdin).flush()
        except BrokenPipeError as cause:
            raise DeploymentError("the stand-in died") from cause
        self._expect(b"done\n", DeploymentError)
        return (time.perf_counter() - began) * 1e3

    def _expect(self, line: bytes, error: type[DeploymentError | EngineError]) -> None:
        if self._stream(self._process.stdout).readline() != line:
            self.__exit__()
            raise error("the stand-in died")

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream


@dataclass
class StandIn:
    """Starts the stand-in; ``files`` are evicted before each run."""

    library: Path
    touched_mib: int
    anonymous_mib: int
    files: tuple[Path, ...] = ()

    def start(self, cgroup: Cgroup | None) -> StandInRunning:
        arguments = [str(self.library), str(self.touched_mib), str(self.anonymous_mib)]
        argv = [sys.executable, "-I", "-S", str(STANDIN), *arguments]
        return StandInRunning(argv if cgroup is None else cgroup.join_command(argv))


@contextmanager
def mapped(library: Path) -> Iterator[None]:
    """Map a whole library into this process, so that its pages are charged elsewhere."""
    ctypes.CDLL(str(library))
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
        for offset in range(0, len(pages), mmap.PAGESIZE):
            pages[offset]
        yield


def measure(launch: StandIn) -> MemoryMeasurement:
    return required_memory(launch, cpu=1.0, policy=replace(MEMORY, requests=7, resolution_mib=1.0))


@pytest.mark.cgroup
def test_anonymous_memory_is_measured_to_the_resolution() -> None:
    library = onnxruntime_library()
    with mapped(library):
        small = measure(StandIn(library, touched_mib=1, anonymous_mib=8))
        large = measure(StandIn(library, touched_mib=1, anonymous_mib=40))
    assert large.required_mib - small.required_mib == pytest.approx(32, abs=1.5)
    assert all(probe.failure is None or probe.failure == "out of memory" for probe in small.limits_tried)
    assert len(large.limits_tried) <= 12


@pytest.mark.cgroup
def test_pages_charged_to_another_process_count_as_on_an_empty_node(tmp_path: Path) -> None:
    library = onnxruntime_library()
    with mapped(library):
        shared = measure(StandIn(library, touched_mib=8, anonymous_mib=16))
    private = tmp_path / library.name
    private.write_bytes(library.read_bytes())
    alone = measure(StandIn(private, touched_mib=8, anonymous_mib=16, files=(private,)))
    assert shared.foreign_mib > alone.foreign_mib + 8
    assert shared.required_mib == pytest.approx(alone.required_mib, abs=3)


@dataclass
class Machine:
    """Computes trials: a function that loads with ``loading`` and serves with ``serving`` MiB.

    Of the memory for loading, ``unreclaimable`` MiB were observed to be so (default: half of it), and ``kept`` of these
    while it served. Without a limit it holds ``idle`` MiB more than serving needs. Limits less than ``uncertain`` MiB
    above what it needs are enough only once.
    """

    loading: int
    serving: int
    peak: int
    foreign: int = 0
    noisy: bool = False
    unreclaimable: int | None = None
    kept: int | None = None
    idle: int = 0
    uncertain: float = 0.0
    limits: list[float] = field(default_factory=list)

    def __call__(self, _setup: TrialSetup, limit: int | None, *, deadline_s: float, slow_ms: float = math.inf) -> Trial:
        assert deadline_s > 0
        if limit is None:
            return self.answered(10.0, self.peak * MIB)
        self.limits.append(limit / MIB)
        if limit < self.loading * MIB:
            return Trial((), "deadline", 1.0)
        first_time = self.limits.count(limit / MIB) == 1
        unlucky = not first_time and limit < (max(self.serving, self.loading) + self.uncertain) * MIB
        if limit < self.serving * MIB or (self.noisy and first_time) or unlucky:
            return Trial((slow_ms * (1.2 if limit >= self.serving * MIB else 10),) * 11, "slow", 1.0)
        return self.answered(10.5, limit)

    def answered(self, latency_ms: float, room: int) -> Trial:
        floor = self.loading // 2 if self.unreclaimable is None else self.unreclaimable
        return Trial(
            (latency_ms,) * 20,
            None,
            1.0,
            peak_bytes=room,
            floor_bytes=floor * MIB,
            kept_bytes=(floor if self.kept is None else self.kept) * MIB,
            settled_bytes=min((self.serving + self.idle) * MIB, room),
            foreign_bytes=self.foreign * MIB,
        )


def searched(machine: Machine, monkeypatch: pytest.MonkeyPatch, surplus_mib: float = 0.0) -> MemoryMeasurement:
    monkeypatch.setattr(searching, "run_trial", machine)
    monkeypatch.setattr(measuring, "detect_cgroups", object)
    return required_memory(StandIn(Path("none"), 0, 0), cpu=1.0, surplus_mib=surplus_mib)


@given(st.data())
def test_search_finds_the_need_in_few_runs_whatever_sets_it(data: st.DataObject) -> None:
    loading = data.draw(st.integers(2, 1000), "loading")
    serving = data.draw(st.integers(1, 1000), "serving")
    need = max(loading, serving)
    peak = data.draw(st.integers(need, 4 * need), "peak")  # page cache beyond four times the required memory is unusual
    machine = Machine(loading, serving, peak, noisy=data.draw(st.booleans(), "noisy"))
    with pytest.MonkeyPatch.context() as patch:
        found = searched(machine, patch, data.draw(st.floats(-500.0, 500.0), "surplus"))
    assert need <= found.required_mib <= need + max(2.0, 0.02 * found.required_mib) + 0.01
    assert len(set(machine.limits)) <= 12


def test_what_a_like_function_needed_is_looked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (Machine(100, 290, 600, idle=25) for _ in range(2))
    found = searched(first, monkeypatch)
    again = searched(second, monkeypatch, found.surplus_mib)
    assert again.required_mib == pytest.approx(found.required_mib, abs=6.0)
    assert len(second.limits) < len(first.limits)


def test_a_limit_that_is_enough_only_once_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    found = searched(Machine(loading=20, serving=100, peak=300, uncertain=2.0), monkeypatch)
    enough, failed = (
        {probe.limit_mib for probe in found.limits_tried if (probe.failure is None) == success}
        for success in (True, False)
    )
    assert enough & failed, "the machine makes a limit enough once"
    assert found.limit_mib in enough - failed


def test_where_loading_needs_what_cannot_be_reclaimed_one_limit_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(loading=800, serving=430, peak=1500, unreclaimable=800)
    found = searched(machine, monkeypatch)
    assert len(set(machine.limits)) == 1
    assert 800 <= found.required_mib <= 816


@pytest.mark.parametrize("off_mib", [-20, 0, 20])
def test_where_loading_packs_a_weight_that_it_walks_through_few_limits_are_tried(
    monkeypatch: pytest.MonkeyPatch, off_mib: int
) -> None:
    packed, kept = 392, 13
    machine = Machine(kept + 2 * packed + off_mib, 405, peak=2000, unreclaimable=kept + packed, kept=kept)
    searched(machine, monkeypatch)
    assert len(set(machine.limits)) <= 5
    assert machine.limits.count(machine.limits[-1]) == 1 + MEMORY.confirmed_loads, "found, and confirmed"
    assert sum(limit < machine.loading for limit in machine.limits) <= 3, "each costs all of the patience"


def test_a_load_that_holds_no_more_than_serving_is_confirmed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(loading=150, serving=100, peak=400)
    searched(machine, monkeypatch)
    assert min(machine.limits) < 150, "loading failed"
    assert machine.limits.count(machine.limits[-1]) <= 2, "found, and confirmed"


def test_where_serving_needs_what_it_maps_hardly_any_limit_is_far_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(loading=20, serving=400, peak=900)
    searched(machine, monkeypatch)
    assert len(set(machine.limits)) == 2
    assert min(machine.limits) > 380, "each limit far below costs minutes of reclaim"


def test_foreign_pages_are_added_where_serving_needs_them_and_not_on_top_of_a_larger_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serving = searched(Machine(loading=20, serving=100, peak=200, foreign=30), monkeypatch)
    assert serving.limit_mib is not None
    assert serving.required_mib == serving.limit_mib + 30
    loading = searched(Machine(loading=150, serving=100, peak=200, foreign=30), monkeypatch)
    assert loading.required_mib == loading.limit_mib
    between = searched(Machine(loading=120, serving=100, peak=200, foreign=30), monkeypatch)
    assert between.required_mib == 130


def test_slow_requests_count_only_where_they_waited_for_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        pid = 1

        def request(self) -> float:
            return 12.0

    calm: list[float] = []
    monkeypatch.setattr(memory_trial, "major_faults", lambda _pid: 7)
    assert memory_trial._serve(cast("FunctionRun", Slow()), MEMORY, 10.0, calm)
    assert len(calm) == 5, "nothing is left to wait for"
    waiting: list[float] = []
    faults = itertools.count()
    monkeypatch.setattr(memory_trial, "major_faults", lambda _pid: next(faults))
    assert not memory_trial._serve(cast("FunctionRun", Slow()), MEMORY, 10.0, waiting)
    assert len(waiting) == 11, "decided once the median is sure"
    restless: list[float] = []
    monkeypatch.setattr(memory_trial, "major_faults", lambda _pid: len(restless) // 4)
    assert memory_trial._serve(cast("FunctionRun", Slow()), MEMORY, 20.0, restless)
    assert len(restless) == 20, "pages that still come and go may yet be missed"
    hopeless: list[float] = []
    more = itertools.count()
    monkeypatch.setattr(memory_trial, "major_faults", lambda _pid: next(more))
    assert not memory_trial._serve(cast("FunctionRun", Slow()), MEMORY, 1.0, hopeless)
    assert len(hopeless) == 6, "far too slow: six in a row are enough"


def test_without_cgroups_the_resident_peak_bounds_it_from_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "detect_cgroups", lambda: None)
    found = measure(StandIn(onnxruntime_library(), touched_mib=1, anonymous_mib=32))
    assert found.limit_mib is None
    assert 32 < found.required_mib < 100


@pytest.mark.cgroup
def test_a_function_that_fails_without_a_limit_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    groups = detect_cgroups()
    assert groups is not None
    with pytest.raises(EngineError, match="died"):
        measure(StandIn(tmp_path / "absent.so", touched_mib=1, anonymous_mib=1))
    assert not list(Path("/sys/fs/cgroup").glob(f"**/mopar-*-{os.getpid()}-*-measure"))


@pytest.mark.cgroup
def test_a_process_that_does_not_end_is_killed_at_its_deadline() -> None:
    groups = detect_cgroups()
    assert groups is not None

    @dataclass
    class Hanging(StandIn):
        def start(self, cgroup: Cgroup | None) -> StandInRunning:
            assert cgroup is not None
            return StandInRunning(cgroup.join_command(["sleep", "600"]))

    setup = TrialSetup(Hanging(Path("none"), 0, 0), groups, 1.0, MEMORY)
    found = memory_trial.run_trial(setup, 64 * MIB, deadline_s=0.2)
    assert found.failure == "deadline"
