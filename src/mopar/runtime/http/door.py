"""A function's server: the main thread computes and keeps one connection, the watching thread serves all others.

A function mostly has one client, a gateway with one connection. The main thread keeps the connection that it served
last, and reads the next request there itself: passing each from thread to thread would wake up a core each time. New
connections, health requests, and what else arrives while the main thread computes are the watching thread's. When an
inference arrives there, the main thread takes its connection over, and returns the one that it kept.
"""

import os
import select
from _socket import IPPROTO_TCP, TCP_NODELAY, socket
from _thread import start_new_thread
from time import monotonic

from mopar.runtime.http.connection import Connection
from mopar.runtime.http.head import Head
from mopar.runtime.http.inference import Inferences
from mopar.runtime.http.routes import answer_refused, answer_simple, wants_inference
from mopar.runtime.request import RefusedError

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    from mopar.runtime.function import Function

_MOST_CONNECTIONS = 32
_MOST_WAITING = 16
_STDIN = 0
_CLOSED = select.EPOLLHUP | select.EPOLLERR


class Door:
    """Serves a function on a listening socket.

    Args:
        function: whose graphs may not be loaded yet.
        listener: bound to the address to listen on.
        with_parent: whether to end when standard input closes.
    """

    def __init__(self, function: "Function", listener: socket, *, with_parent: bool = False) -> None:
        self._function = function
        self._inferences = Inferences(function)
        self._listener = listener
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}  # the watching thread's
        self._handed: list[tuple[Connection, Head]] = []
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = False
        listener.setblocking(False)
        listener.listen(_MOST_CONNECTIONS)
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        if with_parent:
            self._epoll.register(_STDIN, _CLOSED)
        start_new_thread(self._watch, ())

    def stop(self) -> None:
        """End ``serve`` once started requests are answered. For signal handlers."""
        self._stopping = True
        os.eventfd_write(self._wake, 1)

    def serve(self) -> None:
        """Compute until ``stop``."""
        kept: Connection | None = None
        while True:
            if self._handed:
                if kept is not None:
                    self._give_back(kept)
                kept = self._served(*self._handed.pop(0))
            elif self._stopping:
                return
            else:
                kept = self._await(kept)

    def _next_inference(self, connection: Connection) -> "Head | None":
        """The head of an inference, if one has arrived; other requests before it are answered.

        Raises:
            GoneError, RefusedError: the connection cannot be used any more.
        """
        while (head := connection.next_head()) is not None:
            if wants_inference(head, self._function, stopping=self._stopping):
                return head
            answer_simple(connection, head, self._function)
        return None

    # --- the main thread ---

    def _await(self, kept: "Connection | None") -> "Connection | None":
        """Wait for the kept connection's next request and serve it, or for another connection to be handed over."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        timeout_ms = None
        if kept is not None:
            poll.register(kept.descriptor, select.POLLIN)
            timeout_ms = max(kept.deadline - monotonic(), 0.0) * 1e3
        ready = [number for number, _ in poll.poll(timeout_ms)]
        if self._wake in ready:
            os.eventfd_read(self._wake)
        if kept is None or ready == [self._wake]:
            return kept
        if not ready:
            kept.close()
            return None
        return self._served(kept)

    def _served(self, connection: Connection, head: "Head | None" = None) -> "Connection | None":
        """Serve the inference of ``head``, or of data that have arrived, and the requests that follow it.

        Returns:
            The connection, where it may be kept.
        """
        try:
            if head is None:
                connection.fill()
                head = self._next_inference(connection)
            while head is not None:
                self._inferences.serve(connection, head)
                head = self._next_inference(connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next request is answered
            if answer_refused(connection, error):
                self._give_back(connection)
            else:
                connection.close()
            return None
        return connection

    def _give_back(self, connection: Connection) -> None:
        self._connections[connection.descriptor] = connection
        self._epoll.register(connection.descriptor, select.EPOLLIN)

    # --- the watching thread ---

    def _watch(self) -> None:
        while True:
            for number, _ in self._epoll.poll(self._patience_s()):
                if number == self._listener.fileno():
                    self._accept()
                elif number == _STDIN:
                    os._exit(0)  # the process that started this one has ended
                elif number in self._connections:  # a new connection may just have replaced it
                    self._look_after(self._connections[number])
            now = monotonic()
            for connection in list(self._connections.values()):
                if connection.deadline <= now:
                    self._drop(connection)

    def _patience_s(self) -> "float | None":
        deadlines = [connection.deadline for connection in list(self._connections.values())]
        return max(min(deadlines) - monotonic(), 0.0) if deadlines else None

    def _accept(self) -> None:
        try:
            accepted = socket(fileno=self._listener._accept()[0])  # type: ignore[attr-defined]  # noqa: SLF001 - the C type has no other
        except OSError:
            return  # the client disconnected before it was accepted
        accepted.setblocking(False)
        accepted.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        if len(self._connections) >= _MOST_CONNECTIONS:
            # The one with the earliest deadline: a client that sends a request slowly is dropped before an idle one.
            self._drop(min(list(self._connections.values()), key=_deadline))
        self._give_back(Connection(accepted))

    def _look_after(self, connection: Connection) -> None:
        """Answer what can be answered at once, and hand over what has to be computed."""
        try:
            connection.fill()
            head = self._next_inference(connection)
            if head is not None:
                if len(self._handed) >= _MOST_WAITING:
                    raise RefusedError(503, f"{_MOST_WAITING} requests are waiting already")  # noqa: TRY301
                self._forget(connection)
                self._handed.append((connection, head))
                os.eventfd_write(self._wake, 1)
        except Exception as error:  # noqa: BLE001 - the same
            if not answer_refused(connection, error):
                self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._forget(connection)
        connection.close()

    def _forget(self, connection: Connection) -> None:
        del self._connections[connection.descriptor]
        self._epoll.unregister(connection.descriptor)


def _deadline(connection: Connection) -> float:
    return connection.deadline
