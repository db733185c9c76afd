"""Resident memory, page faults and CPU time of a process, as the kernel reports them."""

import contextlib
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from mopar.types import PlatformError

_CPUCLOCK_SCHED = 2  # include/linux/posix-timers_types.h: time on a CPU, of a whole process


@dataclass(frozen=True, slots=True)
class ResidentMemory:
    """A process's resident memory, in bytes; shared pages count in full.

    Attributes:
        anon: anonymous pages.
        file: pages of mapped files.
        shmem: pages of shared memory.
        peak: highest sum of the three so far.
    """

    anon: int
    file: int
    shmem: int
    peak: int


def resident_memory(pid: int) -> ResidentMemory:
    """Read /proc/<pid>/status. Raises PlatformError where the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError as cause:
        raise PlatformError(f"process {pid}: {cause.strerror}; it has ended") from cause
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    try:
        anon, file, shmem, peak = (
            int(fields[key].split()[0]) << 10 for key in ("RssAnon", "RssFile", "RssShmem", "VmHWM")
        )
    except KeyError as cause:
        raise PlatformError(f"process {pid}: it has ended, and holds no memory") from cause
    return ResidentMemory(anon, file, shmem, peak)


def major_faults(pid: int) -> int:
    """Major page faults of the process: faults that read from a disk. Raises PlatformError where it has ended."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except OSError as cause:
        raise PlatformError(f"process {pid}: {cause.strerror}; it has ended") from cause
    return int(line.rpartition(")")[2].split()[9])


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, ended ones included, in ns. Raises PlatformError where it has ended."""
    clock = ~pid << 3 | _CPUCLOCK_SCHED  # as clock_getcpuclockid(3) makes it
    try:
        return time.clock_gettime_ns(clock)
    except OSError as cause:
        raise PlatformError(f"process {pid}: {cause.strerror}; it has ended") from cause


def process_tree(pid: int) -> list[int]:
    """The process, and those that it and they have started and that still run."""
    children: dict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            parent = path.read_text().rpartition(")")[2].split()[1]
            children[int(parent)].append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children[one]
    return found
