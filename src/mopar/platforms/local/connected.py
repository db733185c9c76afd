"""Functions of this machine that somebody else starts and restarts, as in containers; they are called by frames."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mopar.bundle.opened import graph_digest
from mopar.limits import Cgroup
from mopar.platforms.local.function import LocalFunction
from mopar.platforms.local.process import WorkerSpec
from mopar.platforms.local.worker import WorkerConnection
from mopar.runtime import frames
from mopar.types import BundleError, GraphEntry, PlatformError


class ConnectedWorker(WorkerConnection):
    """A connection to a function that has loaded its graphs (``mopar.runtime.listening``).

    Args:
        function: its name.
        path: of its socket.
        graphs: that it has to serve, in the order in which calls number them.

    Raises:
        PlatformError: nothing listens there.
    """

    pid = 0

    def __init__(self, function: str, path: Path, graphs: Sequence[GraphEntry]) -> None:
        self._path = path
        self._graphs = [(graph.id, graph_digest(graph)) for graph in graphs]
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            made.setblocking(False)  # a function that serves another gateway, and has several waiting, would block
            made.connect(str(path))
        except OSError as cause:
            made.close()
            raise PlatformError(f"function {function} at {path} cannot be reached: {cause.strerror}") from cause
        super().__init__(function, made)

    def load(self, timeout_s: float) -> None:
        """Wait for HELLO, which comes as soon as it serves no other gateway.

        Raises:
            PlatformError: it does not come.
            BundleError: it serves something else.
        """
        self.socket.settimeout(timeout_s)
        try:
            hello = self.socket.recv(frames.MAX_FRAME)
        except OSError as cause:
            raise PlatformError(f"function {self.function} at {self._path} serves another gateway") from cause
        self.socket.setblocking(False)
        if not hello:
            raise PlatformError(f"function {self.function} at {self._path} {self.exit_reason()}")
        is_hello = frames.kind_of(hello) == frames.HELLO
        if not is_hello or frames.unpack_hello(memoryview(hello)) != (self.function, self._graphs):
            raise BundleError(f"function {self.function} at {self._path} is of another bundle: deploy both together")

    def exit_reason(self) -> str:
        """All that is known is that its end of the connection is closed."""
        return "ended its connection"

    def stop(self) -> None:
        """Close the connection."""
        self.socket.close()


class ConnectedFunction(LocalFunction):
    """Runs calls on a function that somebody else restarts, and connects to it again.

    Args:
        name: of the function.
        path: of its socket.
        graphs: that it has to serve.
        on_restart: called with its name each time the connection is lost.
    """

    load_s = 5.0
    pauses_s = 0.02, 0.5

    def __init__(self, name: str, path: Path, graphs: Sequence[GraphEntry], on_restart: Callable[[str], None]) -> None:
        super().__init__(WorkerSpec(name, ()), on_restart=on_restart)
        self._path, self._graphs = path, graphs

    async def start_within(self, timeout_s: float) -> None:
        """Connect, again and again until the time is over.

        Raises:
            PlatformError: it could not be reached.
            BundleError: it serves another bundle.
        """
        deadline, (pause_s, _) = time.monotonic() + timeout_s, self.pauses_s
        while True:
            with contextlib.suppress(PlatformError):
                return await self.start()
            if time.monotonic() + pause_s > deadline:
                raise PlatformError(
                    f"function {self.name} at {self._path} was not ready within {timeout_s:g} s: "
                    "see its own messages, or wait longer"
                )
            await asyncio.sleep(pause_s)

    def _launched(self, cgroup: Cgroup | None) -> ConnectedWorker:
        assert cgroup is None, "somebody else limits it"
        return ConnectedWorker(self.name, self._path, self._graphs)
