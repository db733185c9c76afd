"""Memory and CPU limits by cgroups, resident memory and CPU time of processes, and the page cache.

Standard library only; imported by what measures under limits and by platforms that run functions under them.
"""

from mopar.limits.cgroup import Cgroup, Cgroups, MemoryStat
from mopar.limits.detect import detect_cgroups, why_unavailable
from mopar.limits.foreign import charge_foreign, foreign_bytes
from mopar.limits.pagecache import evict_files, read_files
from mopar.limits.process import ResidentMemory, cpu_ns, major_faults, process_tree, resident_memory
from mopar.limits.readahead import read_ahead_kib

__all__ = [
    "Cgroup",
    "Cgroups",
    "MemoryStat",
    "ResidentMemory",
    "charge_foreign",
    "cpu_ns",
    "detect_cgroups",
    "evict_files",
    "foreign_bytes",
    "major_faults",
    "process_tree",
    "read_ahead_kib",
    "read_files",
    "resident_memory",
    "why_unavailable",
]
