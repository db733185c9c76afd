"""The interface to cgroups, independent of their version."""

import os
import shlex
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mopar.types import PlatformError

_POLL_S = 0.005
PERIOD_US = 20_000
"""Period of a CPU quota: short, so that a throttled request does not wait for the rest of a default period (100 ms)."""


@dataclass(frozen=True, slots=True)
class MemoryStat:
    """Memory charged to a cgroup by kind, in bytes.

    Attributes:
        anon: anonymous pages; without swap they cannot be reclaimed.
        file: page cache, shared memory included.
        mapped: pages of ``file`` that some process maps, shared memory included.
        shmem: shared memory and tmpfs; without swap it cannot be reclaimed.
        inactive_file: page cache that is reclaimed first.
        kernel: page tables, stacks, slabs; 0 where the kernel does not report it.
    """

    anon: int
    file: int
    mapped: int
    shmem: int
    inactive_file: int
    kernel: int

    @property
    def unreclaimable(self) -> int:
        """Bytes that the kernel cannot reclaim while swap is off."""
        return self.anon + self.shmem


class Directories:
    """The processes of one group: joining it, listing and killing them.

    Args:
        directories: the group's directory in each hierarchy that it spans (one in version 2).
    """

    def __init__(self, directories: Iterable[Path]) -> None:
        self.directories = tuple(dict.fromkeys(directories))

    def join_command(self, argv: Sequence[str]) -> list[str]:
        """A command line that joins the group and then execs ``argv``, so that all of its memory is charged here.

        Exits with 125 where the group cannot be joined.
        """
        joins = " && ".join(f"echo $$ > {shlex.quote(str(path / 'cgroup.procs'))}" for path in self.directories)
        return ["/bin/sh", "-c", f'{{ {joins}; }} || exit 125; exec "$@"', "mopar", *argv]

    def pids(self) -> set[int]:
        """Processes in the group."""
        found: set[int] = set()
        for path in self.directories:
            try:
                found.update(int(line) for line in (path / "cgroup.procs").read_text().split())
            except OSError:
                continue  # a removed group has no processes
        return found

    def kill_all(self) -> None:
        """Send SIGKILL to every process of the group without waiting for them to end."""
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue  # it has ended already

    def remove(self, deadline_s: float = 10.0) -> None:
        """Kill the group's processes and remove it. Removing it again does nothing.

        Raises:
            PlatformError: processes are still there at the deadline.
        """
        until = time.monotonic() + deadline_s
        while left := [path for path in self.directories if not _removed(path)]:
            if time.monotonic() > until:
                raise PlatformError(f"cgroup {left[0]}: processes are still in it {deadline_s:g} s after SIGKILL")
            self.kill_all()
            time.sleep(_POLL_S)


class Cgroup(Directories, ABC):
    """A group of processes under limits of memory and CPU; as a context manager it is removed at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()

    @abstractmethod
    def limit(self, memory_bytes: int | None, cpu: float | None, period_us: int = PERIOD_US) -> None:
        """Set the limits; None means unlimited. Swap is turned off in either case.

        Args:
            memory_bytes: all memory charged to the group, page cache included.
            cpu: share of CPUs, such as 0.5.
            period_us: length of the CPU quota's period.

        Raises:
            PlatformError: the kernel refuses a value.
        """

    @abstractmethod
    def lower(self, memory_bytes: int) -> None:
        """Lower the memory limit, whatever the others are; the kernel makes room by reclaiming page cache.

        Raises:
            PlatformError: there is no room.
        """

    @abstractmethod
    def memory_limit(self) -> int | None:
        """The memory limit in bytes; None where there is none."""

    @abstractmethod
    def usage_bytes(self) -> int:
        """Memory charged now, page cache included."""

    @abstractmethod
    def peak_bytes(self) -> int:
        """Highest memory charged so far; what is charged now where the kernel keeps no peak."""

    @abstractmethod
    def stat(self) -> MemoryStat:
        """Charged memory by kind; exact to about 0.5 MiB (the kernel updates its counters in batches)."""

    @abstractmethod
    def cpu_ns(self) -> int:
        """CPU time used so far, in nanoseconds."""

    @abstractmethod
    def oom_kills(self) -> int:
        """Number of processes that the kernel's OOM killer has killed."""

    @abstractmethod
    def drop_caches(self) -> None:
        """Reclaim as much page cache as possible; nothing where the kernel has no such interface."""


class Cgroups(ABC):
    """Creates cgroups where this process may do so."""

    version: int

    @abstractmethod
    def create(self, label: str) -> Cgroup:
        """A new, empty group without limits.

        Args:
            label: letters, digits, ``-`` and ``_``; it need not be unique.

        Raises:
            PlatformError: the kernel refuses.
        """

    @abstractmethod
    def holding(self, pid: int) -> Cgroup | None:
        """The group that mopar made for a process; None where it is in another, or has ended."""

    @abstractmethod
    def sweep_stale(self) -> int:
        """Remove groups whose creating process is dead, killing their processes; returns how many were removed."""


def write_value(path: Path, value: str) -> None:
    """Write to one of a cgroup's files. Raises PlatformError naming the file and the value."""
    try:
        path.write_text(value)
    except OSError as cause:
        raise PlatformError(f"cgroup: cannot write {value} to {path}: {cause.strerror}") from cause


def read_int(path: Path) -> int:
    """One of a cgroup's numbers. Raises PlatformError where the group is gone."""
    return int(_read(path))


def read_table(path: Path) -> dict[str, int]:
    """One of a cgroup's files of ``name number`` lines. Raises PlatformError where the group is gone."""
    rows = (line.split() for line in _read(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as cause:
        raise PlatformError(f"cgroup: cannot read {path}: {cause.strerror}") from cause


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
