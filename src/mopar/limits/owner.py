"""Cgroup names that identify the creating process, so that groups of dead processes can be removed."""

import itertools
import os
import re
from pathlib import Path

from mopar.types import UsageError

_NAME = re.compile(r"mopar-(\d+)-(\d+)-(\d+)-\d+-[\w-]+")
_LABEL = re.compile(r"[\w-]{1,64}")
_serial = itertools.count()


def owned_name(label: str) -> str:
    """A new name: ``mopar-<pid namespace>-<pid>-<start time>-<serial>-<label>``.

    The namespace is part of it because process ids of another container have no meaning here.
    """
    if not _LABEL.fullmatch(label):
        raise UsageError(f"cgroup label {label!r}: letters, digits, - and _ only, at most 64")
    pid = os.getpid()
    return f"mopar-{_namespace()}-{pid}-{_start_time(pid)}-{next(_serial)}-{label}"


def is_owned(name: str) -> bool:
    """Whether ``name`` is a group that mopar made."""
    return _NAME.fullmatch(name) is not None


def is_stale(name: str) -> bool:
    """Whether ``name`` is a mopar group that was created in this pid namespace by a process that is dead."""
    match = _NAME.fullmatch(name)
    if match is None or int(match[1]) != _namespace():
        return False
    return _start_time(int(match[2])) != int(match[3])


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of ``pid``; None where it is dead or a zombie."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = line.rpartition(")")[2].split()  # the command's name may hold blanks and brackets
    return None if fields[0] in "ZX" else int(fields[19])
