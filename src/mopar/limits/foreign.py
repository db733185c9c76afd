"""Pages that a process maps and that are charged to others: of libraries and shared memory that those touched first."""

import time

from mopar.limits.cgroup import Cgroup
from mopar.limits.process import resident_memory
from mopar.types import PlatformError

_ROOM = 4 << 20
"""For what a call allocates and returns, and the page cache's minimum."""
_GROWTH = 0.25
"""Of what cannot be reclaimed, what later requests may add: where buffers of 6 MiB land in the heap differs from run to
run, and a slice of ConvNeXt that held 25 MiB after six requests held up to 32 later."""
_RECLAIM_S, _PAUSE_S = 1.0, 0.02
"""Version 1 of cgroups refuses as soon as one pass of reclaim finds nothing, as pages that are being read are."""


def foreign_bytes(group: Cgroup, pid: int) -> int:
    """What a process maps at the expense of other groups. Raises PlatformError where it has ended."""
    resident = resident_memory(pid)
    return max(0, resident.file + resident.shmem - group.stat().mapped)


def charge_foreign(group: Cgroup, pid: int) -> None:
    """Lower the limit of a process's group by what it maps at the expense of others.

    Its limit is what it is billed for, and on an empty node all that it maps would count. Not below what cannot be
    reclaimed, though: there it would lose pages of files, and here it would be killed. For measurements: where a
    neighbour's pages are dropped and read again, they count here, so a function that serves for long keeps its limit.

    Raises:
        PlatformError: the process has ended, or the kernel finds nothing to reclaim.
    """
    limit = group.memory_limit()
    if limit is None:
        return
    stat = group.stat()
    least = round((1 + _GROWTH) * stat.unreclaimable) + stat.kernel + _ROOM
    lower = min(limit, max(limit - foreign_bytes(group, pid), least))
    until = time.monotonic() + _RECLAIM_S
    while True:
        try:
            group.lower(lower)
            return
        except PlatformError:
            if time.monotonic() > until:
                raise
        time.sleep(_PAUSE_S)
