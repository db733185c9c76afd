"""Memory for bytes that are about to be received."""

import mmap

import numpy as np

_HUGE_BYTES = 1 << 22
"""From here on numpy asks for huge pages, whose first touch can hold up the event loop for tens of milliseconds."""


def fresh_bytes(count: int) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    """Bytes that take no memory before they are written. A bytearray would be written over with zeros."""
    if count < _HUGE_BYTES:
        return np.empty(count, np.uint8)
    pages = mmap.mmap(-1, count, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, np.uint8)
