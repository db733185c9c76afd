"""A backend in the test's process, and the real server in front of it, on a separate thread."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import uvloop

from mopar.gateway.backend import NOWHERE
from mopar.gateway.http import Access, HttpLimits, serve
from mopar.gateway.prometheus import Registry
from mopar.gateway.regions import Regions
from mopar.segments import Place
from mopar.types import TensorSpec, TensorValue

PATIENCE_S = 20.0


@dataclass(frozen=True)
class EchoAnswer:
    outputs: Sequence[TensorValue]
    server_timing: str = ""


@dataclass
class EchoBackend:
    """Returns each input under its own name. ``gate`` delays requests; ``error`` fails them."""

    inputs: tuple[TensorSpec, ...]
    name: str = "echo"
    is_ready: bool = True
    error: BaseException | None = None
    gate: asyncio.Event | None = None
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    calls: int = 0
    maps_clients_memory: bool = False
    parameters: Mapping[str, str | float] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self.inputs

    def ready(self) -> bool:
        return self.is_ready

    @contextlib.asynccontextmanager
    async def infer(
        self,
        inputs: Mapping[str, TensorValue],
        outputs: Sequence[str] | None,
        deadline_s: float,
        homes: Mapping[str, Place] = NOWHERE,
    ) -> AsyncIterator[EchoAnswer]:
        assert deadline_s > 0
        assert not homes, "it cannot use them"
        self.calls += 1
        self.arrived.release()
        if self.error is not None:
            raise self.error
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.closed.release()
                raise
        names = tuple(inputs) if outputs is None else outputs
        memory = {name: bytearray(inputs[name].data) for name in names}
        try:
            yield EchoAnswer([_replaced(inputs[name], memory[name]) for name in names])
        finally:
            # Data not sent in time are overwritten, like shared memory that is used again.
            for block in memory.values():
                block[:] = b"\xee" * len(block)
            self.closed.release()


def _replaced(value: TensorValue, data: bytearray) -> TensorValue:
    return TensorValue(value.name, value.dtype, value.shape, memoryview(data))


def any_shape_backend(**options: Any) -> EchoBackend:
    """``x``, 2 x n of float32, and ``y``, n x anything of int64."""
    return EchoBackend((TensorSpec("x", "float32", (2, "n")), TensorSpec("y", "int64", ("n", None))), **options)


def one_input(dtype: str) -> EchoBackend:
    return EchoBackend((TensorSpec("x", dtype, None),))


@dataclass
class Server:
    port: int
    backend: EchoBackend
    registry: Registry
    loop: asyncio.AbstractEventLoop
    shutdown: asyncio.Event
    thread: threading.Thread

    def call(self, function: Callable[[], object]) -> None:
        """Run in the server's loop."""
        self.loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        self.call(self.shutdown.set)


@contextlib.contextmanager
def running(
    backend: EchoBackend,
    limits: HttpLimits | None = None,
    *,
    access: Access | None = None,
    regions: Regions | None = None,
) -> Iterator[Server]:
    """Run the server on a free port; stop it, and check that it has stopped, at the end."""
    registry, started = Registry(), threading.Event()
    server = Server(0, backend, registry, uvloop.new_event_loop(), asyncio.Event(), threading.Thread())

    def on_ready(port: int) -> None:
        server.port = port
        started.set()

    def run() -> None:
        with contextlib.closing(server.loop):
            server.loop.run_until_complete(
                serve(
                    backend,
                    "127.0.0.1",
                    0,
                    registry=registry,
                    shutdown=server.shutdown,
                    on_ready=on_ready,
                    limits=limits,
                    access=access,
                    regions=regions,
                )
            )

    server.thread = threading.Thread(target=run)
    server.thread.start()
    assert started.wait(PATIENCE_S)
    try:
        yield server
    finally:
        with contextlib.suppress(RuntimeError):  # a closed loop accepts no calls
            server.stop()
        server.thread.join(PATIENCE_S)
        assert not server.thread.is_alive()


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """A raw socket for sending bytes, so that requests can be malformed in any way."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S, source_address=(source, 0))
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self, *, head_only: bool = False) -> Reply:
        """The next response. Fails where the connection ends before it."""
        status = self.file.readline().split()
        assert status, "the connection ended without a response"
        headers: dict[str, str] = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        length = 0 if head_only or status[1] == b"100" else int(headers["content-length"])
        return Reply(int(status[1]), headers, self.file.read(length))

    def ended(self) -> bool:
        """Wait for the server to close; return whether it sent no further byte."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True


def post(body: bytes, *headers: str, path: str = "/v2/models/echo/infer") -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: t", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode()


def infer_body(**changes: Any) -> dict[str, Any]:
    """A good request for ``any_shape_backend`` with fields of its first input, ``x``, changed (None removes)."""
    x = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4], **changes}
    y = {"name": "y", "datatype": "INT64", "shape": [2, 1], "data": [5, 6]}
    return {"inputs": [{key: value for key, value in x.items() if value is not None}, y]}
