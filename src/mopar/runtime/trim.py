"""Returning freed heap to the kernel."""

import ctypes

_LIBC = ctypes.CDLL(None)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_TUNED = {_ARENA_MAX: 1, _MMAP_THRESHOLD: 8 << 20, _TRIM_THRESHOLD: 256 << 20}
"""What ``mallopt`` is called with. Buffers above 8 MiB are mapped and unmapped one by one."""


def trim_heap() -> None:
    """Return freed heap; the interpreter's lock is released meanwhile."""
    _LIBC.malloc_trim(0)


def tune_heap() -> None:
    """Set glibc's allocator up for a server that calls ``trim_heap`` when it is idle; call it before threads start.

    All threads share one heap, and freed pages stay until it is trimmed (docs/decisions/gateway-memory.md). With
    another allocator, nothing is set.
    """
    if hasattr(_LIBC, "mallopt"):
        for parameter, value in _TUNED.items():
            _LIBC.mallopt(parameter, value)
