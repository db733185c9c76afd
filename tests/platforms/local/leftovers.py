"""What a test must not leave behind: workers, cgroups, shared memory."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mopar.limits.mounts import hierarchies


def workers_of(pid: int) -> set[int]:
    """Processes that ``pid`` started and that are not dead, workers or not; those that Python keeps for pools apart."""
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found.update(int(child) for child in children.read_text().split())
    return {child for child in found if not is_dead(child) and not _is_of_a_pool(child)}


def _is_of_a_pool(pid: int) -> bool:
    """Whether a process serves ``multiprocessing``: once started, its fork server and its tracker stay to the end."""
    try:
        return b"from multiprocessing." in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def is_dead(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to hear of it."""
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
    """Shared memory that ``pid`` holds a descriptor of."""
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(link.readlink().name)
        except OSError:
            continue  # closed meanwhile
    return sum(name.startswith("memfd:mopar") for name in links)


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Checks that a test ends with what it began with; no segment has a name."""
    pid = os.getpid()
    before = workers_of(pid), segments_of(pid)
    yield
    assert (workers_of(pid), segments_of(pid)) == before
    assert cgroups_of(pid) == []
    assert list(Path("/dev/shm").glob("*mopar*")) == []  # noqa: S108
