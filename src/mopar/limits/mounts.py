"""Where the cgroups of a process are mounted: /proc/self/mountinfo joined with /proc/<pid>/cgroup."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

UNIFIED = ""
"""The key of version 2's single hierarchy, as /proc/self/cgroup writes it."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted cgroup hierarchy: its mount point, and a process's own group within it."""

    mount: Path
    own: Path


def hierarchies(root: Path = Path("/"), pid: int | None = None) -> dict[str, Hierarchy]:
    """Every mounted hierarchy, by version 1 controller; version 2's under ``UNIFIED``.

    Args:
        root: directory that holds ``proc`` and the mount points; tests pass one of their own.
        pid: the process whose groups are wanted; None for this one.
    """
    try:
        mountinfo = (root / "proc/self/mountinfo").read_text()
        memberships = (root / "proc" / ("self" if pid is None else str(pid)) / "cgroup").read_text()
    except OSError:
        return {}
    own = _own_paths(memberships)
    found: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, options = right.split(maxsplit=1)[0], right.rsplit(maxsplit=1)[-1].split(",")
        fields = left.split()
        controllers = [UNIFIED] if kind == "cgroup2" else options if kind == "cgroup" else []
        for controller in controllers:
            if controller in own and controller not in found:
                mount = root / _unescape(fields[4]).lstrip("/")
                found[controller] = Hierarchy(mount, mount / _below(own[controller], _unescape(fields[3])))
    return found


def _own_paths(memberships: str) -> dict[str, str]:
    own: dict[str, str] = {}
    for line in memberships.splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    return own


def _below(path: str, mounted: str) -> str:
    """``path`` relative to the mounted root; the mount point itself where a namespace hides the path."""
    try:
        relative = PurePosixPath(path).relative_to(mounted)
    except ValueError:
        return "."
    return "." if ".." in relative.parts else str(relative)


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
