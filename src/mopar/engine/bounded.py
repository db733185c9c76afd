"""A bound on what the engine may take while a graph is queried: it computes constants of any size meanwhile."""

import contextlib
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

from mopar.machine import available_bytes

_STATUS = Path("/proc/self/status")
_ALONE = threading.Lock()
"""The limit is the whole process's: who sets it puts back what was there, and nobody else's."""


@contextlib.contextmanager
def bounded_memory(more_bytes: int = 0) -> Iterator[None]:
    """Within the block, this process gets no more than half of the memory that is free, plus ``more_bytes``.

    Beyond that, allocations fail, which the engine answers with an error. Where the system does not say what the
    process has, nothing is bounded.
    """
    with _ALONE:
        held = _data_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = held + available_bytes() // 2 + more_bytes
        if not held or 0 <= soft <= limit or 0 <= hard <= limit:  # unlimited is negative
            yield
            return
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """What the limit counts of this process now; 0 where the system does not say."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:")), 0)
