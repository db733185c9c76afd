"""Returning memory to the kernel: what only start-up needed, and freed heap."""

import ctypes

_LIBC = ctypes.CDLL(None)
_DONT_NEED = 4
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_TUNED = {_ARENA_MAX: 1, _MMAP_THRESHOLD: 8 << 20, _TRIM_THRESHOLD: 256 << 20}
"""What ``mallopt`` is called with. Buffers above 8 MiB are mapped and unmapped one by one."""


def trim_memory() -> None:
    """Return freed heap, and drop library pages that only start-up used (docs/decisions/worker-memory.md).

    Unwritten pages of mapped libraries are dropped from the process; those that serving needs are mapped again from the
    page cache. Segments with a single written page, such as relocated data, are left as they are.
    """
    trim_heap()
    for start, length in _unwritten_segments():
        _LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _DONT_NEED)


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


def _unwritten_segments() -> list[tuple[int, int]]:
    """Start and length of private file mappings that cannot be written and were not, of shared libraries.

    None where no library has a written page. Relocation writes some of each, so the file is then not to be trusted:
    some sandboxes and emulators do not report written pages, and dropping relocated ones would crash the process.
    """
    found = []
    start = length = 0
    library = any_written = False
    with open("/proc/self/smaps", "rb") as lines:  # noqa: PTH123 - pathlib costs every function 1 MiB
        for line in lines:
            key, _, rest = line.partition(b" ")
            if not key.endswith(b":"):
                library = b".so" in rest
                low, _, high = key.partition(b"-")
                droppable = library and rest[:4] in {b"r-xp", b"r--p"}
                start, length = (int(low, 16), int(high, 16) - int(low, 16)) if droppable else (0, 0)
            elif key == b"Anonymous:" and library:
                if rest.split()[0] != b"0":
                    any_written = True
                elif length:
                    found.append((start, length))
    return found if any_written else []
