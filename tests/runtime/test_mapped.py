"""Pages of libraries that calls do not use are dropped, and no others."""

import ctypes
import io
import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mopar.measurement.recording import record
from mopar.platforms.local.launch import WorkerLaunch
from mopar.runtime import mapped
from tests.bundle.plans import built
from tests.engine.test_placement import WIDTH, lookups_of
from tests.models import sample_inputs

Segment = tuple[str, str, int]
"""Permissions, file, and KiB of written pages."""

Dropped = Callable[[list[Segment]], list[int]]

SEGMENTS = [
    ("r-xp", "/usr/lib/libonnxruntime.so.1", 0),
    ("r--p", "/usr/lib/libonnxruntime.so.1", 48),  # relocated, then protected
    ("rw-p", "/usr/lib/libonnxruntime.so.1", 8),
    ("r--p", "/usr/lib/libm.so.6", 0),
    ("r--p", "/weights/g0.onnx.data", 0),
    ("rw-p", "", 1024),
]


def smaps(segments: list[Segment]) -> bytes:
    """A file such as /proc/self/smaps, each segment 1 MiB long."""
    lines = []
    for number, (permissions, file, written) in enumerate(segments):
        start = (number + 1) << 20
        lines.append(f"{start:x}-{start + (1 << 20):x} {permissions} 00000000 fe:00 245069    {file}")
        lines += ["Size:               1024 kB", f"Anonymous:          {written} kB", "VmFlags: rd mr"]
    return "\n".join(lines).encode() + b"\n"


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> Dropped:
    """Numbers of the segments that are dropped where /proc/self/smaps has these."""

    def ask(segments: list[Segment]) -> list[int]:
        monkeypatch.setattr(mapped, "open", lambda *_: io.BytesIO(smaps(segments)), raising=False)
        return [(start >> 20) - 1 for start, *_ in mapped._unwritten_segments()]

    return ask


def test_unwritten_pages_of_libraries_are_dropped(dropped: Dropped) -> None:
    assert dropped(SEGMENTS) == [0, 3]


def test_nothing_is_dropped_where_the_system_does_not_tell_what_was_written(
    dropped: Dropped,
) -> None:
    """Emulators and sandboxes fake the file; dropping a relocated page would crash."""
    made_up = [(permissions, file, written if not file else 0) for permissions, file, written in SEGMENTS]
    assert dropped(made_up) == []


def test_this_process_would_drop_something() -> None:
    assert mapped._unwritten_segments()


def present(start: int, count: int) -> set[int]:
    """Numbers of the pages from address ``start`` that this process maps."""
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pagemap:
        pagemap.seek(start // mmap.PAGESIZE * 8)
        entries = memoryview(pagemap.read(count * 8)).cast("Q")
    return {number for number, entry in enumerate(entries) if entry >> 63}


@pytest.mark.parametrize("alone", [[0], [5], [5, 6, 9], [62, 63]])
def test_a_page_of_its_own_is_mapped_without_those_around_it(tmp_path: Path, alone: list[int]) -> None:
    path = tmp_path / "library"
    path.write_bytes(bytes(64 * mmap.PAGESIZE))
    path.read_bytes()  # the kernel maps around a page only what is in the page cache
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=3) as pages:
        view = ctypes.c_char.from_buffer(pages)
        start = ctypes.addressof(view)
        mapped._divide(start, 64 * mmap.PAGESIZE, alone)
        for number in alone:
            ctypes.string_at(start + number * mmap.PAGESIZE, 1)
        assert present(start, 64) == set(alone)
        del view


def library_kib(pid: int) -> int:
    """KiB of unwritten library pages that a process maps."""
    total, library = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        fields = line.split()
        if not fields[0].endswith(":"):
            library = ".so" in line
        elif library and fields[0] in {"Rss:", "Anonymous:"}:
            total += int(fields[1]) * (1 if fields[0] == "Rss:" else -1)
    return total


def test_a_worker_keeps_the_library_pages_that_its_calls_use(reference: Callable[[str], Path], tmp_path: Path) -> None:
    bundle = built(reference("conv_chain"), tmp_path / "bundle", pieces=1)
    calls = record(bundle, sample_inputs("conv_chain")).calls["f0"]
    with WorkerLaunch.of(bundle, "f0", calls).start(None) as worker:
        worker.request()
        first = library_kib(worker.pid)
        for _ in range(4):
            worker.request()
        assert library_kib(worker.pid) < first / 2


def test_rows_of_a_table_are_not_read_ahead(tmp_path: Path) -> None:
    bundle = built(lookups_of(tmp_path / "lookups.onnx"), tmp_path / "bundle", pieces=1)
    inputs = {"x": np.zeros((1, WIDTH), np.float32), "row": np.array([7])}
    calls = record(bundle, inputs).calls["f0"]
    with WorkerLaunch.of(bundle, "f0", calls).start(None) as worker:
        found = [flags for name, flags in flags_of(worker.pid) if name.endswith(mapped.TABLES)]
        assert found
        assert all("rr" in flags for flags in found)  # MADV_RANDOM, before the first call
        assert not any("rr" in flags for name, flags in flags_of(worker.pid) if name.endswith(".data"))


def flags_of(pid: int) -> list[tuple[str, list[str]]]:
    """File and flags of each mapping of a process."""
    found, file = [], ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        fields = line.split()
        if fields[0] == "VmFlags:":
            found.append((file, fields[1:]))
        elif not fields[0].endswith(":"):
            file = fields[-1]
    return found
