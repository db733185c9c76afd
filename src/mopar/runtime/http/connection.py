"""One client's connection: data that have arrived, and sending and receiving within deadlines."""

import select
from _socket import SHUT_WR
from time import monotonic

from mopar.runtime.http.head import answer_head, take_head
from mopar.runtime.request import RefusedError

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from _socket import socket

    from mopar.runtime.http.head import Head

_CHUNK_BYTES = 16 << 10
_MOST_BUFFERS = 256
"""Of one system call; the kernel accepts 1,024."""
_HEAD_S = 10.0
_SLOWEST_BYTES_PER_S = 64 << 10
_IDLE_S = 600.0
_LINGER_S = 2.0


class GoneError(Exception):
    """The client has disconnected, or is too slow."""


class Connection:
    """A connection on which every wait has a deadline.

    Attributes:
        buffer: data that have arrived and were not used yet.
        descriptor: of its socket, which does not block.
        deadline: when it is closed unless something happens, on the clock of ``monotonic``.
        draining: whether data are only read and dropped: were it closed while the client sends, the answer would be
            lost.
    """

    __slots__ = ("_socket", "buffer", "deadline", "descriptor", "draining")

    def __init__(self, accepted: "socket") -> None:
        self._socket = accepted
        self.descriptor = accepted.fileno()
        self.buffer = bytearray()
        self.draining = False
        self.deadline = monotonic() + _HEAD_S

    def fill(self) -> None:
        """Read what has arrived to ``buffer``. Raises GoneError at the end of the stream."""
        try:
            data = self._socket.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as cause:
            raise GoneError from cause
        if not data:
            raise GoneError
        if self.draining:
            return
        if not self.buffer:
            self.deadline = monotonic() + _HEAD_S
        self.buffer += data

    def next_head(self) -> "Head | None":
        """The next request's head, if it has all arrived. Raises RefusedError."""
        head = take_head(self.buffer)
        if head is not None:
            self.deadline = monotonic() + _IDLE_S
        return head

    def latest(self, nbytes: int) -> float:
        """The deadline for receiving or sending so many bytes."""
        return monotonic() + _HEAD_S + nbytes / _SLOWEST_BYTES_PER_S

    def receive(self, count: int, deadline: float) -> bytes:
        """The next ``count`` bytes. Raises GoneError, or RefusedError at the deadline."""
        while len(self.buffer) < count:
            self._await_more(deadline)
            self.fill()
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def receive_into(self, views: "list[memoryview]", deadline: float) -> None:
        """Fill views: from what has arrived already, and the rest straight from the socket. Raises as ``receive``."""
        rest = []
        for view in views:
            count = min(len(view), len(self.buffer))
            view[:count] = self.buffer[:count]
            del self.buffer[:count]
            if count < len(view):
                rest.append(view[count:])
        while rest:
            self._await_more(deadline)
            try:
                count = self._socket.recvmsg_into(rest[:_MOST_BUFFERS])[0]
            except BlockingIOError:
                continue
            except OSError as cause:
                raise GoneError from cause
            if not count:
                raise GoneError
            rest = _beyond(rest, count)

    def send(self, parts: "list[bytes | memoryview]") -> None:
        """Send all parts, which are not copied. Raises GoneError."""
        rest = [memoryview(part) for part in parts if len(part)]
        deadline = self.latest(sum(map(len, rest)))
        while rest:
            try:
                rest = _beyond(rest, self._socket.sendmsg(rest[:_MOST_BUFFERS]))
            except BlockingIOError as cause:
                if not self._wait(select.POLLOUT, deadline):
                    raise GoneError from cause
            except OSError as cause:
                raise GoneError from cause

    def answer(self, status: int, body: bytes, headers: "dict[str, object]", *, keep: bool) -> None:
        """Send a short answer without waiting for the client; then, unless the connection is kept, read to its end.

        Raises:
            GoneError: the client does not receive it at once.
        """
        data = answer_head(status, len(body), headers, keep=keep) + body
        try:
            sent = self._socket.send(data)
        except OSError as cause:
            raise GoneError from cause
        if sent < len(data):
            raise GoneError
        if not keep:
            self.linger()

    def linger(self) -> None:
        """Close the sending direction; what the client still sends is read for a moment, and dropped."""
        try:
            self._socket.shutdown(SHUT_WR)
        except OSError as cause:
            raise GoneError from cause
        self.draining = True
        self.buffer.clear()
        self.deadline = monotonic() + _LINGER_S

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _await_more(self, deadline: float) -> None:
        if not self._wait(select.POLLIN, deadline):
            raise RefusedError(408, "the request did not arrive in time")

    def _wait(self, event: int, deadline: float) -> bool:
        poll = select.poll()
        poll.register(self.descriptor, event)
        return bool(poll.poll(max(deadline - monotonic(), 0.0) * 1e3))


def _beyond(views: "list[memoryview]", count: int) -> "list[memoryview]":
    """What is left of views after their first ``count`` bytes."""
    for index, view in enumerate(views):
        if count < len(view):
            return [view[count:], *views[index + 1 :]]
        count -= len(view)
    return []
