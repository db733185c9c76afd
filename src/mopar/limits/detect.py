"""Finds the cgroups that this process can use, by creating one and joining it."""

import functools
import subprocess
from pathlib import Path

from mopar.limits.cgroup import Cgroups
from mopar.limits.mounts import UNIFIED, hierarchies
from mopar.limits.v1 import CONTROLLERS, CgroupsV1
from mopar.limits.v2 import CgroupsV2
from mopar.types import PlatformError

_PROBE_BYTES = 64 << 20
_PROBE_TIMEOUT_S = 10


def detect_cgroups(root: Path = Path("/")) -> Cgroups | None:
    """The usable cgroups; None where there are none (``why_unavailable`` says why). The result is cached.

    Version 1 is used where it has the memory controller, else version 2.

    Args:
        root: directory that holds ``proc`` and the mount points; tests pass one of their own.
    """
    found = _detect(root)
    return None if isinstance(found, str) else found


def why_unavailable(root: Path = Path("/")) -> str | None:
    """One line on why limits cannot be set here; None where they can."""
    found = _detect(root)
    return found if isinstance(found, str) else None


@functools.cache
def _detect(root: Path) -> Cgroups | str:
    found = hierarchies(root)
    try:
        if "memory" in found:
            if missing := [name for name in CONTROLLERS if name not in found]:
                return f"cgroup v1: no {' and no '.join(missing)} hierarchy is mounted"
            groups: Cgroups = CgroupsV1(found)
        elif UNIFIED in found:
            groups = CgroupsV2(found[UNIFIED])
        else:
            return "no cgroup hierarchy is mounted"
        _prove(groups)
    except PlatformError as cause:
        return str(cause)
    return groups


def _prove(groups: Cgroups) -> None:
    """Limit a group and let a process join it. Raises PlatformError where either fails."""
    with groups.create("probe") as group:
        group.limit(_PROBE_BYTES, 1.0)
        try:
            command = group.join_command(["true"])
            done = subprocess.run(command, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as cause:
            raise PlatformError(f"cgroup: no process could join {group.directories[0]}: {cause}") from cause
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise PlatformError(f"cgroup: no process could join {group.directories[0]}: {reason[0]}")
