"""A request's body, collected in one buffer."""

from mopar.buffers import fresh_bytes


class Body:
    """Collects a body's chunks in one buffer.

    An announced length is allocated at once, and its pages are not touched before their bytes arrive: a client that
    announces much and sends little costs address space, not memory. Without a length the buffer doubles as it fills.

    Args:
        announced: the Content-Length; None for a chunked body.
    """

    __slots__ = ("_buffer", "filled")

    def __init__(self, announced: int | None) -> None:
        self._buffer = fresh_bytes(1 << 16 if announced is None else announced)
        self.filled = 0

    def add(self, chunk: bytes) -> None:
        """Append the next chunk."""
        stop = self.filled + len(chunk)
        if stop > len(self._buffer):
            grown = fresh_bytes(max(stop, 2 * len(self._buffer)))
            grown[: self.filled] = self._buffer[: self.filled]
            self._buffer = grown
        self._buffer[self.filled : stop] = chunk
        self.filled = stop

    def view(self) -> memoryview:
        """What has arrived."""
        return self._buffer[: self.filled]
