"""Pages that only start-up needed are dropped, and no others."""

import io
from collections.abc import Callable

import pytest

from mopar.runtime import trim

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
        monkeypatch.setattr(trim, "open", lambda *_: io.BytesIO(smaps(segments)), raising=False)
        return [(start >> 20) - 1 for start, _ in trim._unwritten_segments()]

    return ask


def test_unwritten_pages_of_libraries_are_dropped(dropped: Dropped) -> None:
    assert dropped(SEGMENTS) == [0, 3]


def test_nothing_is_dropped_where_the_system_does_not_tell_what_was_written(
    dropped: Dropped,
) -> None:
    """Emulators and sandboxes fake the file; dropping a relocated page would crash."""
    made_up = [(permissions, file, written if not file else 0) for permissions, file, written in SEGMENTS]
    assert dropped(made_up) == []


@pytest.mark.native
def test_this_process_would_drop_something() -> None:
    assert trim._unwritten_segments()
