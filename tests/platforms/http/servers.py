"""Servers with scripted responses, and requests to them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mopar.bundle import Bundle
from mopar.bundle.call_plans import CallPlan, call_plans
from mopar.gateway.arrays import Array, from_array
from mopar.platforms.base import Budget
from mopar.platforms.http import HttpTransport
from mopar.platforms.http.request import HttpRequest
from mopar.types import Network

PATIENCE_S = 20.0


@dataclass
class Seen:
    """Requests that a server received: heads and bodies."""

    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


Answer = Callable[[int], bytes | None]
"""From the request's number to the response; None for none at all, empty bytes for a closed connection."""


@contextlib.asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[tuple[str, Seen]]:
    """A server that reads requests and sends the scripted responses; its URL, and what it received."""
    seen, done = Seen(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(dict(_lines(head)).get(b"content-length", b"0"))
                seen.heads.append(head)
                seen.bodies.append(await reader.readexactly(length))
                data = answer(len(seen.heads))
                if data is None:
                    await done.wait()
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen
    finally:
        done.set()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)  # for handlers that end with it


def _lines(head: bytes) -> list[tuple[bytes, bytes]]:
    pairs = (line.partition(b": ") for line in head.split(b"\r\n")[1:] if line)
    return [(name.lower(), value) for name, _, value in pairs]


def http(body: bytes, status: int = 200, /, **headers: object) -> bytes:
    """A response with these headers; ``None`` leaves one out."""
    fields = {"content-length": len(body), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [
        f"HTTP/1.1 {status} Whatever",
        *(f"{name}: {value}" for name, value in fields.items() if value is not None),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def right(outputs: Mapping[str, Array], *, extra: bytes = b"", headers: Mapping[str, object] | None = None) -> bytes:
    """The response of a function with these outputs."""
    return described([entry(name, array) for name, array in outputs.items()], _data(outputs) + extra, headers)


def described(entries: Sequence[Mapping[str, Any]], data: bytes, headers: Mapping[str, object] | None = None) -> bytes:
    """A response whose JSON has this entry for its outputs."""
    text = json.dumps({"outputs": entries}).encode()
    own = {"inference-header-content-length": len(text), "mopar-held-ns": 2, "mopar-compute-ns": 1}
    return http(text + data, 200, **{**own, **(headers or {})})


def entry(name: str, array: Array, **changes: Any) -> dict[str, Any]:
    """A response's entry for an output, changed."""
    size = {"binary_data_size": array.nbytes}
    return {"name": name, "datatype": "FP32", "shape": array.shape, "parameters": size, **changes}


def _data(outputs: Mapping[str, Array]) -> bytes:
    return b"".join(array.tobytes() for array in outputs.values())


def only_call(bundle: Bundle) -> CallPlan:
    """The only call of a bundle."""
    (plan,) = call_plans(bundle.manifest)
    return plan


@contextlib.asynccontextmanager
async def asking(
    url: str, feeds: Mapping[str, Array], budget: Budget | None = None, network: Network | None = None
) -> AsyncIterator[tuple[HttpRequest, HttpTransport]]:
    """A request to the function ``f0`` at a URL."""
    transport = HttpTransport({"f0": [url]}, budget, network)
    request = transport.open({name: from_array(name, array) for name, array in feeds.items()}, 0)
    try:
        yield request, transport
    finally:
        request.close()
        await transport.close()


async def failure(call: Awaitable[object]) -> BaseException:
    """The error of a call that must fail."""
    (outcome,) = await asyncio.gather(call, return_exceptions=True)
    assert isinstance(outcome, BaseException)
    return outcome
