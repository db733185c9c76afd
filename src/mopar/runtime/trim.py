"""Memory that starting up needed and serving does not, given back before the first call."""

import ctypes

_LIBC = ctypes.CDLL(None)
_DONT_NEED = 4


def trim_memory() -> None:
    """Return freed heap, and let go of library pages that only start-up touched.

    Unwritten pages of mapped libraries are dropped from the process: those that serving needs come back
    from the page cache at a tenth of a millisecond in all; what only loading ran (schemas, optimisers,
    parsers) stays out. Segments with a single written page, such as relocated data, are left alone.
    """
    trim_heap()
    for start, length in _unwritten_segments():
        _LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _DONT_NEED)


def trim_heap() -> None:
    """Return freed heap; the interpreter's lock is free meanwhile."""
    _LIBC.malloc_trim(0)


def _unwritten_segments() -> list[tuple[int, int]]:
    """Start and length of private file mappings that cannot be written and were not, of shared libraries."""
    found = []
    start = length = 0
    with open("/proc/self/smaps", "rb") as lines:  # noqa: PTH123 - pathlib costs every function 1 MiB
        for line in lines:
            key, _, rest = line.partition(b" ")
            if not key.endswith(b":"):
                permissions = rest[:4]
                library = b".so" in rest and permissions in {b"r-xp", b"r--p"}
                low, _, high = key.partition(b"-")
                start, length = (int(low, 16), int(high, 16) - int(low, 16)) if library else (0, 0)
            elif key == b"Anonymous:" and length and rest.split()[0] == b"0":
                found.append((start, length))
    return found
