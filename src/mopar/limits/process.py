"""Resident memory and page faults of a process, as the kernel reports them."""

from dataclasses import dataclass
from pathlib import Path

from mopar.types import PlatformError


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
