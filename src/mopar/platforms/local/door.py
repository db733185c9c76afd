"""A function of this machine with an HTTP server of its own, whose address stays when it is restarted."""

import contextlib
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mopar.limits import Cgroup
from mopar.platforms.function_process import GraphForm, ServedGraph, config_of
from mopar.platforms.local.library import engine_library
from mopar.platforms.local.process import FunctionProcess, WorkerSpec
from mopar.platforms.local.watched import WatchedFunction
from mopar.runtime.report import FAILED, READY
from mopar.types import EngineError, GraphEntry, PlatformError

_MODULE = "mopar.runtime.http"
_HOST = "127.0.0.1"
_BACKLOG = 32
_OUTPUT_BYTES = 1 << 16
_READY = f"{READY}\n".encode()
_HEALTH = b"GET /v2/health/ready HTTP/1.1\r\nHost: function\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class DoorSpec:
    """What a function with an HTTP server runs.

    Attributes:
        worker: its graphs and threads, as for a worker.
        entries: of its graphs, in the same order.
        max_body_bytes: of a request.
        lossless: library that decodes and encodes its tensors; None where none is encoded.
        code_ratios: output -> most bytes of its code per byte.
    """

    worker: WorkerSpec
    entries: tuple[GraphEntry, ...]
    max_body_bytes: int
    lossless: Path | None = None
    code_ratios: Mapping[str, float] = field(default_factory=dict)

    def config(self) -> bytes:
        """The configuration file that the process reads (``mopar.runtime.config``)."""
        graphs = [
            ServedGraph(entry, GraphForm(str(graph.path), graph.options))
            for entry, graph in zip(self.entries, self.worker.graphs, strict=True)
        ]
        library = str(self.worker.library or engine_library())
        codecs = None if self.lossless is None else str(self.lossless)
        worker = self.worker
        return config_of(
            worker.function, library, worker.threads, self.max_body_bytes, graphs, codecs, self.code_ratios
        )


class DoorProcess(FunctionProcess):
    """A running function with an HTTP server.

    It inherits its listening socket, so that no other process can take its port between restarts. It ends when its
    standard input closes, which happens when this process ends in any way. Its standard output reports the result of
    loading.

    Args:
        spec: what it runs.
        listener: where it accepts connections.
        cgroup: that it joins before exec; None for no limits.
    """

    def __init__(self, spec: DoorSpec, listener: socket.socket, cgroup: Cgroup | None) -> None:
        self._address = listener.getsockname()
        config = os.memfd_create("function.json", os.MFD_CLOEXEC)  # leaves no file behind
        try:
            os.write(config, spec.config())
            arguments = [f"/proc/self/fd/{config}", "--listener", str(listener.fileno()), "--with-parent"]
            super().__init__(
                replace(spec.worker, module=_MODULE),
                cgroup,
                arguments,
                [config, listener.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        finally:
            os.close(config)

    def load(self, timeout_s: float) -> None:
        """Wait until its graphs are loaded, and it reports that it is ready."""
        deadline = time.monotonic() + timeout_s
        name, output = self.spec.function, b""
        while not output.endswith(b"\n"):
            if not select.select([self], [], [], max(deadline - time.monotonic(), 0.0))[0]:
                raise PlatformError(f"function {name} did not load within {timeout_s:.1f} s") from TimeoutError()
            more = os.read(self.fileno(), _OUTPUT_BYTES)
            if not more:
                raise PlatformError(f"function {name} {self.exit_reason()}")
            output += more
        if output != _READY:
            raise EngineError(f"function {name}: {output.decode(errors='replace').strip().removeprefix(FAILED)}")
        self._check_health(deadline)

    def fileno(self) -> int:
        """Standard output's: after loading it becomes readable only when the process ends."""
        assert self._process.stdout is not None, "it was started with a pipe"
        return self._process.stdout.fileno()

    def stop(self) -> None:
        """End it at once."""
        super().stop()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _check_health(self, deadline: float) -> None:
        try:
            with socket.create_connection(self._address, max(deadline - time.monotonic(), 0.001)) as connection:
                connection.sendall(_HEALTH)
                answer = connection.recv(_OUTPUT_BYTES)
        except OSError as cause:
            raise PlatformError(f"function {self.spec.function} does not answer: {cause}") from cause
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise PlatformError(f"function {self.spec.function} says that it is not ready")


class HttpFunction(WatchedFunction[DoorProcess]):
    """Supervises a function's process with an HTTP server, and reports its state to the transport (``Watch``).

    Args:
        spec: what it runs.
        make_cgroup: a fresh cgroup with the function's limits for each start; None for no limits.
        on_restart: called with its name each time it is restarted.
        memory_mib: the limit that ``make_cgroup`` sets, for messages.
    """

    def __init__(
        self,
        spec: DoorSpec,
        make_cgroup: Callable[[], Cgroup] | None = None,
        on_restart: Callable[[str], None] = lambda _name: None,
        memory_mib: int | None = None,
    ) -> None:
        super().__init__(spec.worker.function, make_cgroup, on_restart, memory_mib)
        self._spec = spec
        self._listener: socket.socket | None = None

    @property
    def url(self) -> str:
        """Of its HTTP server; it stays the same until ``close``."""
        assert self._listener is not None, "it was not started"
        return f"http://{_HOST}:{self._listener.getsockname()[1]}"

    async def close(self) -> None:
        """Stop the process and start no other."""
        await super().close()
        if self._listener is not None:
            self._listener.close()

    def _launched(self, cgroup: Cgroup | None) -> DoorProcess:
        if self._listener is None:
            try:
                self._listener = socket.create_server((_HOST, 0), backlog=_BACKLOG)
            except OSError as cause:
                raise PlatformError(f"function {self.name} cannot listen: {cause.strerror}") from cause
        return DoorProcess(self._spec, self._listener, cgroup)

    def _heard(self, process: DoorProcess) -> None:
        output = b""
        with contextlib.suppress(OSError):
            output = os.read(process.fileno(), _OUTPUT_BYTES)
        if not output:
            self._died(process)
