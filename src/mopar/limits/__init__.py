"""Memory and CPU limits by cgroups, resident memory of processes, and the page cache.

Standard library only; imported by what measures under limits and by platforms that run functions under them.
"""

from mopar.limits.cgroup import Cgroup, Cgroups, MemoryStat
from mopar.limits.detect import detect_cgroups, why_unavailable
from mopar.limits.pagecache import evict_files, read_files
from mopar.limits.process import ResidentMemory, major_faults, resident_memory

__all__ = [
    "Cgroup",
    "Cgroups",
    "MemoryStat",
    "ResidentMemory",
    "detect_cgroups",
    "evict_files",
    "major_faults",
    "read_files",
    "resident_memory",
    "why_unavailable",
]
