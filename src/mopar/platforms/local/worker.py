"""A worker that is called by frames, as a process of this machine. Blocking."""

import contextlib
import socket
import time
from abc import ABC, abstractmethod
from typing import Self

from mopar.limits import Cgroup
from mopar.platforms.function_process import load_flags
from mopar.platforms.local.library import engine_library
from mopar.platforms.local.process import FunctionProcess, WorkerSpec
from mopar.runtime import frames
from mopar.segments import SharedSegment
from mopar.types import EngineError, PlatformError

_SEND_BUFFER_BYTES = 1 << 20


class WorkerConnection(ABC):
    """A connection to a worker, one frame at a time.

    Args:
        function: its name.
        connected: the socket, which is closed with this object.

    Attributes:
        attached: numbers of the segments that the worker has.
        pid: the worker's process; 0 for one of another container.
    """

    pid: int

    def __init__(self, function: str, connected: socket.socket) -> None:
        self.function = function
        self.attached: set[int] = set()
        self._peers: dict[int, WorkerConnection] = {}
        self.socket = connected
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    @abstractmethod
    def load(self, timeout_s: float) -> None:
        """Wait until its graphs are loaded."""

    @abstractmethod
    def exit_reason(self) -> str:
        """Why it does not answer any more, as the end of a message."""

    @abstractmethod
    def stop(self) -> None:
        """Close the connection, and end a worker that is ours."""

    def attach(self, segment: SharedSegment) -> None:
        """Share a segment with the worker, unless it has it already."""
        if segment.number not in self.attached:
            frame = frames.pack_attach(segment.number, segment.size)
            socket.send_fds(self.socket, [frame], [segment.descriptor])
            self.attached.add(segment.number)

    def detach(self, number: int) -> None:
        """Have the worker release a segment."""
        if number in self.attached:
            self.attached.discard(number)
            with contextlib.suppress(OSError):
                self.socket.send(frames.pack_detach(number))

    def introduce(self, number: int, peer: "WorkerConnection") -> None:
        """Let the worker send frames to another one, which it knows by a number from now on; unless it does already.

        It gets a duplicate of the gateway's end of the peer's socket, so what it sends comes after what the gateway has
        sent. The peer's socket stays open as long as one of its senders lives: none may be a peer of its peers.
        """
        if self._peers.get(number) is not peer:
            frame = frames.pack_number(frames.PEER, number)
            socket.send_fds(self.socket, [frame], [peer.socket.fileno()])
            self._peers[number] = peer

    def ask(self, frame: bytes, timeout_s: float) -> memoryview:
        """Send a frame and wait for its answer.

        Raises:
            EngineError: the worker answered FAILED.
            PlatformError: it died, or did not answer within ``timeout_s``.
        """
        self.socket.settimeout(max(timeout_s, 0.001))
        try:
            self.socket.send(frame)
            reply = self.socket.recv(frames.MAX_FRAME)
        except TimeoutError as cause:
            raise PlatformError(f"function {self.function} did not answer within {timeout_s:.1f} s") from cause
        except OSError as cause:
            raise PlatformError(f"function {self.function} {self.exit_reason()}") from cause
        if not reply:
            raise PlatformError(f"function {self.function} {self.exit_reason()}")
        if frames.kind_of(reply) == frames.FAILED:
            text, _ = frames.unpack_failed(memoryview(reply))
            raise EngineError(f"function {self.function}: {' '.join(text.split())}")
        return memoryview(reply)

    def fileno(self) -> int:
        """The socket's."""
        return self.socket.fileno()


class WorkerProcess(WorkerConnection, FunctionProcess):
    """A running worker, one frame at a time.

    Args:
        spec: what it runs.
        cgroup: that it joins before exec, so that everything from the first page on is counted; None for no limits.
    """

    def __init__(self, spec: WorkerSpec, cgroup: Cgroup | None = None) -> None:
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as cause:
            raise PlatformError(f"function {spec.function} cannot be started: {cause.strerror}") from cause
        WorkerConnection.__init__(self, spec.function, ours)
        try:
            FunctionProcess.__init__(self, spec, cgroup, [str(theirs.fileno())], [theirs.fileno()])
        except PlatformError:
            ours.close()
            raise
        finally:
            theirs.close()

    def load(self, timeout_s: float) -> None:
        """Wait until its graphs are loaded."""
        deadline = time.monotonic() + timeout_s
        library = self.spec.library or engine_library()
        self.ask(frames.pack_init(str(library), self.spec.threads), deadline - time.monotonic())
        for graph in self.spec.graphs:
            try:
                frame = frames.pack_load(
                    str(graph.path), load_flags(graph.options), list(graph.inputs), list(graph.outputs)
                )
            except ValueError as cause:
                raise EngineError(f"function {self.spec.function}: {cause}") from cause
            self.ask(frame, max(deadline - time.monotonic(), 0.001))
        self.socket.setblocking(False)  # an event loop may own it from here on; ``ask`` sets a deadline of its own

    def exit_reason(self) -> str:
        """How it ended, as the end of a message."""
        return FunctionProcess.exit_reason(self)

    def stop(self) -> None:
        """End it at once: a function has no state to save between calls."""
        self.socket.close()
        FunctionProcess.stop(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
