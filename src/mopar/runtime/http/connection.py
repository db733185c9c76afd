"""One client's connection: what has arrived of it, and sending and receiving within deadlines."""

import select
from _socket import SHUT_WR
from time import monotonic

from mopar.runtime.http.head import RefusedError, answer_head, take_head

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from _socket import socket

    from mopar.runtime.http.head import Head

_CHUNK_BYTES = 16 << 10
_MOST_BUFFERS = 256
"""Handed to the kernel at once; it takes 1,024."""
_HEAD_S = 10.0
_SLOWEST_BYTES_PER_S = 64 << 10
_IDLE_S = 600.0
_LINGER_S = 2.0


class GoneError(Exception):
    """The client left, or is too slow."""


class Connection:
    """A connection that is never waited for longer than its deadline.

    Attributes:
        buffer: what has arrived and was not used.
        descriptor: of its socket, which does not block.
        deadline: when it is closed unless something happens, on the clock of ``monotonic``.
        draining: it is only read to its end: a client that sends on would lose the answer if it were closed at once.
    """

    __slots__ = ("_socket", "buffer", "deadline", "descriptor", "draining")

    def __init__(self, accepted: "socket") -> None:
        self._socket = accepted
        self.descriptor = accepted.fileno()
        self.buffer = bytearray()
        self.draining = False
        self.deadline = monotonic() + _HEAD_S

    def fill(self) -> None:
        """Take in what has arrived. Raises GoneError at the end."""
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
        """When so many bytes must have arrived or left."""
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
        """Send all parts from where they lie. Raises GoneError."""
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
        """Send a short answer, without waiting for the client; afterwards read to the end unless it is kept.

        Raises:
            GoneError: it does not take even that.
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
        """Say that nothing more comes; what the client still sends is read for a moment, and dropped."""
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
    """What is left of views behind their first ``count`` bytes."""
    for index, view in enumerate(views):
        if count < len(view):
            return [view[count:], *views[index + 1 :]]
        count -= len(view)
    return []
