"""Memory and CPU limits by cgroups, resident memory and CPU time of processes, and the page cache.

Imported by what measures under limits and by platforms that run functions under them. What knows of read-around
is imported when it is first used: it needs numpy, which a gateway does not (docs/decisions/gateway-memory.md).
"""

from typing import TYPE_CHECKING

from mopar.limits.cgroup import Cgroup, Cgroups, MemoryStat
from mopar.limits.detect import detect_cgroups, why_unavailable
from mopar.limits.pagecache import evict_files, read_files
from mopar.limits.process import ResidentMemory, cpu_ns, major_faults, process_tree, resident_memory
from mopar.limits.readahead import read_ahead_kib

if TYPE_CHECKING:
    from mopar.limits.readaround import read_around_bytes as read_around_bytes

__all__ = [
    "Cgroup",
    "Cgroups",
    "MemoryStat",
    "ResidentMemory",
    "cpu_ns",
    "detect_cgroups",
    "evict_files",
    "major_faults",
    "process_tree",
    "read_ahead_kib",
    "read_around_bytes",
    "read_files",
    "resident_memory",
    "why_unavailable",
]


def __getattr__(name: str) -> object:
    """``read_around_bytes``. Raises AttributeError for any other name."""
    if name != "read_around_bytes":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mopar.limits import readaround

    return readaround.read_around_bytes
