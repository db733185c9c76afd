"""Detects what a test leaves behind: workers, cgroups, shared memory."""

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mopar.limits.mounts import hierarchies


def workers_of(pid: int) -> set[int]:
    """Live child processes of ``pid``, except for Python's own helper processes of pools."""
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # the thread has ended meanwhile
            found.update(int(child) for child in children.read_text().split())
    return {child for child in found if not is_dead(child) and not _is_of_a_pool(child)}


def _is_of_a_pool(pid: int) -> bool:
    """Whether a process belongs to ``multiprocessing``: its fork server and tracker run until the interpreter exits."""
    try:
        return b"from multiprocessing." in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def is_dead(pid: int) -> bool:
    """Whether a process has ended, or is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def cgroups_of(pid: int) -> list[str]:
    """Cgroups that ``pid`` owns, in all hierarchies."""
    return [
        name
        for hierarchy in hierarchies().values()
        for _, names, _ in os.walk(hierarchy.mount)
        for name in names
        if name.startswith("mopar-") and name.split("-")[2] == str(pid)
    ]


def segments_of(pid: int) -> int:
    """Shared memory for which ``pid`` holds a descriptor."""
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(link.readlink().name)
        except OSError:
            continue  # closed meanwhile
    return sum(name.startswith("memfd:mopar") for name in links)


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Check that a test ends in the state in which it began, and that no segment has a name."""
    pid = os.getpid()
    gc.collect()  # a segment that an earlier test forgot is none of this one
    before = workers_of(pid), segments_of(pid)
    yield
    assert (workers_of(pid), segments_of(pid)) == before
    assert cgroups_of(pid) == []
    assert list(Path("/dev/shm").glob("*mopar*")) == []  # noqa: S108
