"""HTTP stacks for the gateway: four that only read and answer, and the gateway's own server, compared.

Every stack runs in a separate process, reads a whole body into one buffer of its announced size, and answers 1 KB, on
asyncio's own loop. The gateway's server also parses, checks, counts and encodes; it is measured on uvloop too, its loop
in production. A client on kept-alive loopback connections sends 1 KB and 600 KB (3x224x224 float32) of binary tensor
data, one request at a time and from eight connections at once; requests to the stacks are interleaved.

All is repeated for several fresh starts, and with glibc's memory thresholds at their defaults and pinned: whether a
buffer of 600 KB is mapped anew for every request depends on the state of a process's heap, and costs more than the
stacks differ by. Page faults per request show it. One start is not a measurement, nor is a busy machine: the load
average is printed (docs/decisions/http-stack.md).

    python -m benchmarks.http_stacks [--requests 400] [--starts 5] [--json FILE]
"""

import argparse
import asyncio
import contextlib
import importlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, MutableMapping
from multiprocessing.pool import Pool
from pathlib import Path
from types import MappingProxyType
from typing import Any

BODIES = {"1 KB": 1024, "600 KB": 3 * 224 * 224 * 4}
ANSWER = bytes(1024)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 1024\r\n\r\n"
CONCURRENCY = 8
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def memory_mib(pid: int | str = "self") -> dict[str, float]:
    """Resident memory of a process in MiB: RSS and its anonymous part."""
    rows = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    wanted = {row[0]: int(row[1]) / 1024 for row in rows if row and row[0] in ("VmRSS:", "RssAnon:")}
    return {"rss": wanted["VmRSS:"], "anon": wanted["RssAnon:"]}


def _report(port: int, imported: dict[str, float]) -> None:
    print(json.dumps({"port": port, "imported": imported}), flush=True)


# --- uvicorn (httptools), with a bare ASGI application and with Starlette ---------------------------------------


class Body:
    """A body received into one buffer of its announced size; the same for all four, which isolates the stacks."""

    def __init__(self, length: int) -> None:
        self.data, self.filled = bytearray(length), 0

    def add(self, chunk: bytes | bytearray) -> None:
        """Copy the next chunk to its place."""
        self.data[self.filled : self.filled + len(chunk)] = chunk
        self.filled += len(chunk)


async def _bare_app(scope: Scope, receive: Receive, send: Send) -> None:
    body = Body(int(dict(scope["headers"])[b"content-length"]))
    more = True
    while more:
        message = await receive()
        body.add(message.get("body", b""))
        more = bool(message.get("more_body", False))
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/octet-stream"), (b"content-length", b"1024")],
        }
    )
    await send({"type": "http.response.body", "body": ANSWER})


async def _uvicorn(app: Any, imported: dict[str, float]) -> None:
    import uvicorn

    # The protocol must be named: asyncio sets TCP_NODELAY only then; otherwise a response takes 44 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)  # before the port is reported: the client connects immediately
    _report(listener.getsockname()[1], imported)
    config = uvicorn.Config(
        app, http="httptools", loop="asyncio", access_log=False, log_level="error", lifespan="off", ws="none"
    )
    await uvicorn.Server(config).serve(sockets=[listener])


async def uvicorn_bare() -> None:
    """Uvicorn with httptools and a bare ASGI application."""
    import uvicorn.protocols.http.httptools_impl  # noqa: F401

    await _uvicorn(_bare_app, memory_mib())


async def uvicorn_starlette() -> None:
    """Uvicorn with httptools and a Starlette application."""
    import uvicorn.protocols.http.httptools_impl  # noqa: F401
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def infer(request: Request) -> Response:
        body = Body(int(request.headers["content-length"]))
        async for chunk in request.stream():
            body.add(chunk)
        return Response(ANSWER, media_type="application/octet-stream")

    await _uvicorn(Starlette(routes=[Route("/v2/models/m/infer", infer, methods=["POST"])]), memory_mib())


# --- a small server of our own: asyncio.Protocol with httptools; asyncio streams with h11 ------------------------


async def protocol_httptools() -> None:
    """asyncio.Protocol with httptools."""
    import httptools

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport
            self.parser = httptools.HttpRequestParser(self)

        def on_message_begin(self) -> None:
            self.body = Body(0)

        def on_header(self, name: bytes, value: bytes) -> None:
            if name.lower() == b"content-length":
                self.body = Body(int(value))

        def on_body(self, chunk: bytes) -> None:
            self.body.add(chunk)

        def on_message_complete(self) -> None:
            asyncio.get_running_loop().create_task(self.answer())

        async def answer(self) -> None:
            self.transport.write(HEAD)
            self.transport.write(ANSWER)

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

    imported = memory_mib()
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    _report(server.sockets[0].getsockname()[1], imported)
    await server.serve_forever()


async def streams_h11() -> None:
    """Asyncio streams with h11."""
    import h11

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        body = Body(0)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                body = Body(int(dict(event.headers)[b"content-length"]))
            elif isinstance(event, h11.Data):
                body.add(event.data)
            elif isinstance(event, h11.EndOfMessage):
                response = h11.Response(status_code=200, headers=[("content-length", "1024")])
                writer.write(connection.send(response) or b"")
                writer.write(connection.send(h11.Data(data=ANSWER)) or b"")
                writer.write(connection.send(h11.EndOfMessage()) or b"")
                await writer.drain()
                connection.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                writer.close()
                return

    imported = memory_mib()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    _report(server.sockets[0].getsockname()[1], imported)
    await server.serve_forever()


class _Answer:
    """1 KB of output."""

    server_timing = ""

    def __init__(self, output: Any) -> None:
        self.outputs = (output,)


async def gateway_server() -> None:
    """The gateway's own server, in front of a model that returns 1 KB for any request."""
    from mopar.gateway.backend import NOWHERE
    from mopar.gateway.http import serve
    from mopar.gateway.prometheus import Registry
    from mopar.runtime.trim import tune_heap
    from mopar.types import TensorSpec, TensorValue

    class Constant:
        name = "m"
        inputs = (TensorSpec("x", "float32", ("n",)),)
        outputs = (TensorSpec("y", "float32", (256,)),)
        maps_clients_memory = False
        parameters: Mapping[str, str | float] = MappingProxyType({})

        def ready(self) -> bool:
            return True

        @contextlib.asynccontextmanager
        async def infer(
            self,
            inputs: Any,  # noqa: ARG002
            outputs: Any,  # noqa: ARG002
            deadline_s: float,  # noqa: ARG002
            homes: Any = NOWHERE,  # noqa: ARG002
        ) -> AsyncIterator[_Answer]:
            yield _Answer(TensorValue("y", "float32", (256,), ANSWER))

    imported = memory_mib()
    tune_heap()  # as in `mopar serve`
    await serve(
        Constant(),
        "127.0.0.1",
        0,
        registry=Registry(),
        shutdown=asyncio.Event(),
        on_ready=lambda port: _report(port, imported),
    )


STACKS: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    "uvicorn + bare ASGI": uvicorn_bare,
    "uvicorn + starlette": uvicorn_starlette,
    "Protocol + httptools": protocol_httptools,
    "streams + h11": streams_h11,
    "the gateway's server": gateway_server,
    "the gateway's server, uvloop": gateway_server,
}
ALLOCATORS: dict[str, dict[str, str]] = {
    "as it is": {},
    "pinned": {"MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)},
}


# --- the client and the table ------------------------------------------------------------------------------------


def _message(size: int) -> bytes:
    """An inference request with ``size`` bytes of binary data."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [size // 4], "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    lines = ["POST /v2/models/m/infer HTTP/1.1", "Host: localhost", f"Content-Length: {len(head) + size}"]
    lines.append(f"Inference-Header-Content-Length: {len(head)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + head).encode() + bytes(size)


def _request(connection: socket.socket, request: bytes) -> float:
    start = time.perf_counter()
    connection.sendall(request)
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    missing = length - len(body)
    while missing:
        missing -= len(connection.recv(missing))
    return (time.perf_counter() - start) * 1000


def _series(port: int, size: int, count: int) -> list[float]:
    """Latencies in ms of ``count`` requests on one kept-alive connection."""
    request = _message(size)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return [_request(connection, request) for _ in range(count)]


def _faults(pid: int) -> int:
    """Minor page faults of a process since its start."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def _start(name: str, allocator: str) -> tuple["subprocess.Popen[str]", int, dict[str, float]]:
    command = [sys.executable, __file__, "--serve", name]
    environment = {**os.environ, **ALLOCATORS[allocator]}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    hello = json.loads(process.stdout.readline())
    return process, hello["port"], hello["imported"]


def _measure_start(requests: int, pool: Pool, allocator: str) -> dict[str, Any]:
    """Measure samples, faults and memory of every stack, each started afresh."""
    servers = {name: _start(name, allocator) for name in STACKS}
    rows: dict[str, Any] = {}
    try:
        for name, (process, port, imported) in servers.items():
            _series(port, BODIES["600 KB"], 1000)
            rows[name] = {"imported": imported, "served": memory_mib(process.pid), "samples": {}}
        for label, size in BODIES.items():
            for name, (process, port, _) in servers.items():
                before = _faults(process.pid)
                rows[name]["samples"][f"{label} x1"] = _series(port, size, requests)
                rows[name]["faults"] = (_faults(process.pid) - before) / requests
                parts = pool.starmap(_series, [(port, size, requests // CONCURRENCY)] * CONCURRENCY)
                rows[name]["samples"][f"{label} x{CONCURRENCY}"] = [sample for part in parts for sample in part]
    finally:
        for process, _, _ in servers.values():
            process.kill()
            process.wait()
    return rows


def machine() -> dict[str, str]:
    """Facts of the machine that the figures depend on."""
    model = next(
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    )
    names = ("uvicorn", "starlette", "httptools", "h11")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return {
        "cpu": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[0]:.1f}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "with": versions,
    }


def _cell(series: list[list[float]]) -> str:
    """p50 of all samples, the range of the starts' own p50s, and p95."""
    cuts = statistics.quantiles([sample for one in series for sample in one], n=20)
    medians = [statistics.median(one) for one in series]
    return f"{cuts[9]:.2f} ({min(medians):.2f} to {max(medians):.2f}) / {cuts[18]:.2f}"


def _table(starts: list[dict[str, Any]]) -> str:
    columns = list(next(iter(starts[0].values()))["samples"])
    head = ["stack", *(f"{column}: p50 (of starts) / p95 ms" for column in columns)]
    head += ["faults per 600 KB", "imported: RSS / anon MiB", "served 1,000: RSS / anon MiB"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " --- |" * (len(head) - 1)]
    for name in STACKS:
        rows = [start[name] for start in starts]
        cells = [name, *(_cell([row["samples"][column] for row in rows]) for column in columns)]
        faults = [row["faults"] for row in rows]
        cells.append(f"{min(faults):.0f} to {max(faults):.0f}")
        for when in ("imported", "served"):
            rss, anon = (statistics.median(row[when][kind] for row in rows) for kind in ("rss", "anon"))
            cells.append(f"{rss:.1f} / {anon:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run one stack (for the parent process), or measure all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write raw samples there")
    parser.add_argument("--serve", choices=list(STACKS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        # Imported only in the process that serves it: its memory is part of the measurement.
        run = importlib.import_module("uvloop").run if args.serve.endswith("uvloop") else asyncio.run
        run(STACKS[args.serve]())
        return
    facts = machine()
    starts: dict[str, list[dict[str, Any]]] = {allocator: [] for allocator in ALLOCATORS}
    with multiprocessing.get_context("fork").Pool(CONCURRENCY) as pool:
        for _ in range(args.starts):
            for allocator, rows in starts.items():
                rows.append(_measure_start(args.requests, pool, allocator))
    if args.json:
        args.json.write_text(json.dumps({"machine": facts, "allocators": starts}))
    print("; ".join(f"{key} {value}" for key, value in facts.items()))
    for allocator, rows in starts.items():
        print(f"\nglibc's memory thresholds: {allocator}; {args.starts} starts of {args.requests} requests each\n")
        print(_table(rows))


if __name__ == "__main__":
    main()
