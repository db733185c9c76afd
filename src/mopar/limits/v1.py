"""cgroup version 1: separate memory, cpu and cpuacct hierarchies."""

import contextlib
import math
from pathlib import Path

from mopar.limits.cgroup import PERIOD_US, Cgroup, Cgroups, MemoryStat, read_int, read_table, write_value
from mopar.limits.mounts import Hierarchy, hierarchies
from mopar.limits.owner import is_owned, owned_name
from mopar.limits.sweep import sweep
from mopar.types import PlatformError

CONTROLLERS = ("memory", "cpu", "cpuacct")
_MIN_QUOTA_US = 1000
_UNLIMITED = 1 << 62


class CgroupV1(Cgroup):
    """A group in the memory, cpu and cpuacct hierarchies, which may be mounted together."""

    def __init__(self, memory: Path, cpu: Path, cpuacct: Path) -> None:
        super().__init__((memory, cpu, cpuacct))
        self._memory, self._cpu, self._cpuacct = memory, cpu, cpuacct

    def limit(self, memory_bytes: int | None, cpu: float | None, period_us: int = PERIOD_US) -> None:
        """Set the limits."""
        bound = "-1" if memory_bytes is None else str(memory_bytes)
        with_swap = self._memory / "memory.memsw.limit_in_bytes"
        has_swap_accounting = with_swap.exists()
        if has_swap_accounting:  # memory.memsw may never be below the memory limit: raise it first, then lower it
            write_value(with_swap, "-1")
        write_value(self._memory / "memory.limit_in_bytes", bound)
        if has_swap_accounting:
            write_value(with_swap, bound)
        write_value(self._memory / "memory.swappiness", "0")
        write_value(self._cpu / "cpu.cfs_period_us", str(period_us))
        quota = -1 if cpu is None else max(_MIN_QUOTA_US, math.floor(cpu * period_us))
        write_value(self._cpu / "cpu.cfs_quota_us", str(quota))

    def lower(self, memory_bytes: int) -> None:
        """Lower the memory limit."""
        write_value(self._memory / "memory.limit_in_bytes", str(memory_bytes))
        with_swap = self._memory / "memory.memsw.limit_in_bytes"
        if with_swap.exists():
            write_value(with_swap, str(memory_bytes))

    def memory_limit(self) -> int | None:
        """The memory limit."""
        limit = read_int(self._memory / "memory.limit_in_bytes")
        return limit if limit < _UNLIMITED else None

    def usage_bytes(self) -> int:
        """Memory charged now."""
        return read_int(self._memory / "memory.usage_in_bytes")

    def peak_bytes(self) -> int:
        """Highest memory charged so far."""
        return read_int(self._memory / "memory.max_usage_in_bytes")

    def stat(self) -> MemoryStat:
        """Charged memory by kind."""
        table = read_table(self._memory / "memory.stat")
        kernel = self._memory / "memory.kmem.usage_in_bytes"
        return MemoryStat(
            anon=table["rss"],
            file=table["cache"],
            mapped=table["mapped_file"],
            shmem=table["shmem"],
            inactive_file=table["inactive_file"],
            kernel=read_int(kernel) if kernel.exists() else 0,
        )

    def cpu_ns(self) -> int:
        """CPU time used so far."""
        return read_int(self._cpuacct / "cpuacct.usage")

    def oom_kills(self) -> int:
        """Processes killed by the OOM killer."""
        return read_table(self._memory / "memory.oom_control")["oom_kill"]

    def drop_caches(self) -> None:
        """Reclaim what can be reclaimed."""
        with contextlib.suppress(OSError):  # EBUSY: it has reclaimed what it could
            (self._memory / "memory.force_empty").write_text("0")


class CgroupsV1(Cgroups):
    """Creates groups below this process's own group in each hierarchy."""

    version = 1

    def __init__(self, found: dict[str, Hierarchy]) -> None:
        self._found = {name: found[name] for name in CONTROLLERS}

    def create(self, label: str) -> Cgroup:
        """A new group below this process's own."""
        name = owned_name(label)
        paths = {controller: hierarchy.own / name for controller, hierarchy in self._found.items()}
        group = CgroupV1(paths["memory"], paths["cpu"], paths["cpuacct"])
        for path in group.directories:
            try:
                path.mkdir()
            except OSError as cause:
                group.remove()
                raise PlatformError(f"cgroup: cannot make {path}: {cause.strerror}") from cause
        return group

    def holding(self, pid: int) -> Cgroup | None:
        """The group of a process."""
        found = hierarchies(pid=pid)
        paths = [found[name].own for name in CONTROLLERS if name in found and is_owned(found[name].own.name)]
        return CgroupV1(*paths) if len(paths) == len(CONTROLLERS) else None

    def sweep_stale(self) -> int:
        """Remove groups whose creating process is dead."""
        return sweep({hierarchy.mount for hierarchy in self._found.values()})
