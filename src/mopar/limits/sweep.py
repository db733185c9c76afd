"""Removes cgroups whose creating process was killed before it could remove them."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from mopar.limits.cgroup import Directories
from mopar.limits.owner import is_stale
from mopar.types import PlatformError


def sweep(mounts: Iterable[Path]) -> int:
    """Remove stale groups, killing their processes; returns how many. Takes time linear in the number of groups."""
    stale: dict[str, list[Path]] = {}
    for mount in mounts:
        for base, names, _ in os.walk(mount):
            for name in filter(is_stale, names):
                stale.setdefault(name, []).append(Path(base) / name)
    swept = 0
    for directories in stale.values():
        with contextlib.suppress(PlatformError):  # it belongs to another user
            Directories(directories).remove(deadline_s=1.0)
            swept += 1
    return swept
