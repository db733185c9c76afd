"""A request's body, assembled once."""

import mmap

import numpy as np

from mopar.gateway.arrays import Array

_HUGE_BYTES = 1 << 22
"""From here on numpy asks for huge pages, whose first touch can hold up the event loop for tens of milliseconds."""


class Body:
    """Collects a body's chunks in one buffer.

    An announced length is allocated at once and never touched before its bytes arrive: a client that announces
    much and sends little costs address space, not memory. An unknown length doubles.

    Args:
        announced: the Content-Length; None for a chunked body.
    """

    __slots__ = ("_buffer", "filled")

    def __init__(self, announced: int | None) -> None:
        self._buffer = _memory(1 << 16 if announced is None else announced)
        self.filled = 0

    def add(self, chunk: bytes) -> None:
        """Append the next chunk."""
        stop = self.filled + len(chunk)
        if stop > len(self._buffer):
            grown = _memory(max(stop, 2 * len(self._buffer)))
            grown[: self.filled] = self._buffer[: self.filled]
            self._buffer = grown
        self._buffer[self.filled : stop] = np.frombuffer(chunk, np.uint8)
        self.filled = stop

    def view(self) -> memoryview:
        """What has arrived."""
        return self._buffer.data[: self.filled]


def _memory(count: int) -> Array:
    """Bytes that take no memory before they are written. A bytearray would be written over with zeros."""
    if count < _HUGE_BYTES:
        return np.empty(count, np.uint8)
    pages = mmap.mmap(-1, count, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, np.uint8)
