"""cgroup version 2: one hierarchy, controllers handed down through cgroup.subtree_control."""

import contextlib
import math
import os
from pathlib import Path

from mopar.limits.cgroup import PERIOD_US, Cgroup, Cgroups, MemoryStat, read_int, read_table, write_value
from mopar.limits.mounts import Hierarchy
from mopar.limits.owner import owned_name
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

    def usage_bytes(self) -> int:
        """Memory charged now."""
        return read_int(self._path / "memory.current")

    def peak_bytes(self) -> int:
        """Highest memory charged so far."""
        peak = self._path / "memory.peak"  # since Linux 5.19
        return read_int(peak) if peak.exists() else self.usage_bytes()

    def stat(self) -> MemoryStat:
        """What the memory consists of."""
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
        """Processes killed for want of memory."""
        return read_table(self._path / "memory.events")["oom_kill"]

    def drop_caches(self) -> None:
        """Reclaim what can be reclaimed."""
        reclaim = self._path / "memory.reclaim"  # since Linux 5.19
        if reclaim.exists():
            with contextlib.suppress(OSError):  # less was there than asked for
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
    """Makes groups below the nearest group that may hand down memory and CPU.

    Raises:
        PlatformError: there is none; the message says what stood in the way.
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
        """A new group below the one that hands down controllers."""
        path = self._parent / owned_name(label)
        try:
            path.mkdir()
        except OSError as cause:
            raise PlatformError(f"cgroup: cannot make {path}: {cause.strerror}") from cause
        return CgroupV2(path)

    def sweep_stale(self) -> int:
        """Remove what dead owners left."""
        return sweep([self._mount])


def _delegate(group: Path) -> str | None:
    """Let ``group`` hand memory and CPU to its children; the reason where it cannot.

    A group may not hand down controllers while it holds processes itself (the root may). Where this
    process is alone in it, it steps aside into a leaf, as container managers do.
    """
    # A process moves only where the common ancestor of both groups may be written: here, ``group``.
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
