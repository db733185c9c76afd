"""cgroup version 2: one hierarchy; cgroup.subtree_control delegates controllers to child groups."""

import contextlib
import math
import os
from pathlib import Path

from mopar.limits.cgroup import PERIOD_US, Cgroup, Cgroups, MemoryStat, read_int, read_table, write_value
from mopar.limits.mounts import UNIFIED, Hierarchy, hierarchies
from mopar.limits.owner import is_owned, owned_name
from mopar.limits.sweep import sweep
from mopar.types import PlatformError

_CONTROLLERS = {"memory", "cpu"}
_MIN_QUOTA_US = 1000


class CgroupV2(Cgroup):
    """A leaf of the unified hierarchy."""

    def __init__(self, path: Path) -> None:
        super().__init__((path,))
        self._path = path

    def limit(self, memory_bytes: int | None, cpu: float | None, period_us: int = PERIOD_US) -> None:
        """Set the limits."""
        write_value(self._path / "memory.max", "max" if memory_bytes is None else str(memory_bytes))
        if (self._path / "memory.swap.max").exists():  # absent where the kernel has no swap
            write_value(self._path / "memory.swap.max", "0")
        quota = "max" if cpu is None else str(max(_MIN_QUOTA_US, math.floor(cpu * period_us)))
        write_value(self._path / "cpu.max", f"{quota} {period_us}")

    def lower(self, memory_bytes: int) -> None:
        """Lower the memory limit."""
        write_value(self._path / "memory.max", str(memory_bytes))

    def memory_limit(self) -> int | None:
        """The memory limit."""
        text = (self._path / "memory.max").read_text().strip()
        return None if text == "max" else int(text)

    def usage_bytes(self) -> int:
        """Memory charged now."""
        return read_int(self._path / "memory.current")

    def peak_bytes(self) -> int:
        """Highest memory charged so far."""
        peak = self._path / "memory.peak"  # since Linux 5.19
        return read_int(peak) if peak.exists() else self.usage_bytes()

    def stat(self) -> MemoryStat:
        """Charged memory by kind."""
        table = read_table(self._path / "memory.stat")
        return MemoryStat(
            anon=table["anon"],
            file=table["file"],
            mapped=table["file_mapped"],
            shmem=table["shmem"],
            inactive_file=table["inactive_file"],
            kernel=table.get("kernel", 0),  # since Linux 5.18
        )

    def cpu_ns(self) -> int:
        """CPU time used so far."""
        return read_table(self._path / "cpu.stat")["usage_usec"] * 1000

    def oom_kills(self) -> int:
        """Processes killed by the OOM killer."""
        return read_table(self._path / "memory.events")["oom_kill"]

    def drop_caches(self) -> None:
        """Reclaim what can be reclaimed."""
        reclaim = self._path / "memory.reclaim"  # since Linux 5.19
        if reclaim.exists():
            with contextlib.suppress(OSError):  # less could be reclaimed than requested
                reclaim.write_text(str(self.usage_bytes()))

    def kill_all(self) -> None:
        """Send SIGKILL to every process."""
        kill = self._path / "cgroup.kill"  # since Linux 5.14; forks cannot escape it
        if kill.exists():
            with contextlib.suppress(OSError):  # the group is gone
                kill.write_text("1")
        else:
            super().kill_all()


class CgroupsV2(Cgroups):
    """Creates groups below the nearest group that can delegate the memory and cpu controllers.

    Raises:
        PlatformError: there is no such group; the message gives the reason.
    """

    version = 2

    def __init__(self, found: Hierarchy) -> None:
        self._mount = found.mount
        candidates = [found.own, *found.own.parents]
        candidates = candidates[: candidates.index(found.mount) + 1]
        refusals: list[str] = []
        for candidate in candidates:
            refusal = _delegate(candidate)
            if refusal is None:
                self._parent = candidate
                return
            refusals.append(refusal)
        raise PlatformError(f"cgroup v2: {refusals[0]}")

    def create(self, label: str) -> Cgroup:
        """A new group below the one that delegates controllers."""
        path = self._parent / owned_name(label)
        try:
            path.mkdir()
        except OSError as cause:
            raise PlatformError(f"cgroup: cannot make {path}: {cause.strerror}") from cause
        return CgroupV2(path)

    def holding(self, pid: int) -> Cgroup | None:
        """The group of a process."""
        found = hierarchies(pid=pid).get(UNIFIED)
        return CgroupV2(found.own) if found is not None and is_owned(found.own.name) else None

    def sweep_stale(self) -> int:
        """Remove groups whose creating process is dead."""
        return sweep([self._mount])


def _delegate(group: Path) -> str | None:
    """Delegate memory and cpu of ``group`` to its children; returns the reason where that is not possible.

    A group other than the root cannot delegate controllers while it contains processes. Where this
    process is the only one, it moves into a new leaf group, as container managers do.
    """
    # Moving a process needs write access to the common ancestor of both groups: here, ``group``.
    if not os.access(group / "cgroup.procs", os.W_OK):
        return f"{group} cannot be written (run as root, or under a delegated scope)"
    try:
        if missing := _CONTROLLERS - set((group / "cgroup.controllers").read_text().split()):
            return f"{group} has no {' and no '.join(sorted(missing))} controller"
        wanted = _CONTROLLERS - set((group / "cgroup.subtree_control").read_text().split())
        if not wanted:
            return None
        value = " ".join(f"+{name}" for name in sorted(wanted))
        if (group / "cgroup.procs").read_text().split() == [str(os.getpid())]:
            aside = group / owned_name("self")
            aside.mkdir()
            (aside / "cgroup.procs").write_text(str(os.getpid()))
        (group / "cgroup.subtree_control").write_text(value)
    except OSError as cause:
        return f"{group} does not hand down memory and cpu: {cause.strerror}"
    return None
