"""The Open Inference Protocol's paths, answered by a backend."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar
from urllib.parse import unquote

from mopar import __version__
from mopar.gateway.backend import NOWHERE, Backend
from mopar.gateway.http.aside import Aside
from mopar.gateway.http.buffered import Buffered
from mopar.gateway.http.codings import answer_coding, coding_of, pack, unpack
from mopar.gateway.http.decode import Inference, decode, json_length
from mopar.gateway.http.encode import VERSION, encode, metadata
from mopar.gateway.http.messages import HttpLimits, Request, Response, Send, error_response, json_response
from mopar.gateway.http.metrics import HttpMetrics
from mopar.gateway.http.sharedmemory import PATH as SHARED_MEMORY
from mopar.gateway.http.sharedmemory import ClientsMemory, SharedMemoryPaths, delivered, homes_in_place
from mopar.gateway.regions import Regions
from mopar.types import MoparError, OverloadedError, RequestError, TensorValue

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_GRACE_S = 5.0
"""Added to a request's deadline, which the backend enforces itself: a safeguard against one that does not."""
_INLINE_BYTES = 64 << 10
"""More JSON than this is read and written in the thread beside the event loop."""


_OfRegion = Callable[[Request, str | None], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Route:
    name: str
    methods: tuple[str, ...]
    answer: Callable[[Request, Send], Awaitable[int]]


class Routes:
    """Answers every whole request: each with exactly one response.

    Args:
        backend: the model.
        metrics: of the server.
        deadline_s: given to every inference.
        limits: of JSON, both ways.
        aside: where large bodies are decoded and encoded.
        buffered: bounds what bodies take once they are unpacked.
        regions: memory that clients share.
    """

    def __init__(
        self,
        backend: Backend,
        metrics: HttpMetrics,
        deadline_s: float,
        limits: HttpLimits,
        aside: Aside,
        buffered: Buffered,
        regions: Regions,
    ) -> None:
        self._backend, self._metrics, self._deadline_s = backend, metrics, deadline_s
        self._limits, self._aside, self._buffered, self._regions = limits, aside, buffered, regions
        self._looks_into_binary = any(spec.dtype in ("string", "bool") for spec in backend.inputs)
        get = ("GET", "HEAD")
        self._server: dict[tuple[str, ...], _Route] = {
            ("metrics",): _Route("metrics", get, _fixed(metrics.exposition)),
            ("v2",): _Route("server", get, _fixed(self._about)),
            ("v2", "health", "live"): _Route("live", get, _fixed(lambda: json_response(200, {"live": True}))),
            ("v2", "health", "ready"): _Route("ready", get, _fixed(self._ready)),
            ("v2", "repository", "index"): _Route("index", ("POST",), _fixed(self._index)),
        }
        shared = SharedMemoryPaths(regions, aside.run)
        self._shared: dict[tuple[str, ...], tuple[str, tuple[str, ...], _OfRegion]] = {
            ("status",): ("shared_memory_status", get, shared.status),
            ("register",): ("shared_memory_register", ("POST",), shared.register),
            ("unregister",): ("shared_memory_unregister", ("POST",), shared.unregister),
        }
        self._model: dict[tuple[str, ...], _Route] = {
            (): _Route("model", get, _fixed(self._metadata)),
            ("ready",): _Route("model_ready", get, _fixed(self._model_ready)),
            ("infer",): _Route("infer", ("POST",), self._infer),
        }

    async def __call__(self, request: Request, send: Send) -> None:
        """Answer a request."""
        start = time.perf_counter()
        name, status = "none", 500
        self._metrics.in_flight.value += 1
        try:
            route = self._find(request.path)
            name = route.name
            if request.method not in route.methods:
                allow = {"allow": ", ".join(route.methods)}
                message = f"{request.method} is not allowed here: use {route.methods[0]}"
                status = await _send(send, error_response(405, message, allow))
            else:
                status = await route.answer(request, send)
        except RequestError as error:
            status = await _send(send, error_response(error.status, str(error)))
        except OverloadedError as error:
            self._metrics.rejected()
            status = await _send(send, error_response(503, str(error)))
        except MoparError as error:
            status = await _send(send, error_response(500, str(error)))
        except asyncio.CancelledError:
            status = 499  # the client disconnected; nginx logs the same number
            raise
        finally:
            self._metrics.in_flight.value -= 1
            self._metrics.observe(name, status, time.perf_counter() - start)

    def _find(self, path: str) -> _Route:
        parts = tuple(unquote(part) for part in path.strip("/").split("/"))
        if parts[:2] == ("v2", "models") and len(parts) > 2:
            return self._find_model(path, parts[2], parts[3:])
        if parts[:2] == SHARED_MEMORY:
            return self._find_shared(path, parts[2:])
        if parts not in self._server:
            raise RequestError(f"no such path: {path[:200]}", 404)
        return self._server[parts]

    def _find_model(self, path: str, model: str, rest: tuple[str, ...]) -> _Route:
        if model != self._backend.name:
            raise RequestError(f"no model {model[:200]}: {self._backend.name} is served here", 404)
        if rest[:1] == ("versions",) and len(rest) > 1:
            if rest[1] != VERSION:
                raise RequestError(f"no version {rest[1][:200]} of {model}: only {VERSION}", 404)
            rest = rest[2:]
        if rest not in self._model:
            raise RequestError(f"no such path: {path[:200]}", 404)
        return self._model[rest]

    def _find_shared(self, path: str, rest: tuple[str, ...]) -> _Route:
        region = rest[1] if len(rest) > 1 and rest[0] == "region" else None
        name, methods, make = self._shared.get(rest if region is None else rest[2:], ("", (), None))
        if make is None:
            raise RequestError(f"no such path: {path[:200]}", 404)

        async def answer(request: Request, send: Send) -> int:
            return await _send(send, await make(request, region))

        return _Route(name, methods, answer)

    def _about(self) -> Response:
        return json_response(
            200,
            {"name": "mopar", "version": __version__, "extensions": ["binary_tensor_data", "system_shared_memory"]},
        )

    def _ready(self) -> Response:
        ready = self._backend.ready()
        return json_response(200 if ready else 503, {"ready": ready})

    def _model_ready(self) -> Response:
        ready = self._backend.ready()
        return json_response(200 if ready else 503, {"name": self._backend.name, "ready": ready})

    def _index(self) -> Response:
        state = "READY" if self._backend.ready() else "UNAVAILABLE"
        return json_response(200, [{"name": self._backend.name, "version": VERSION, "state": state, "reason": ""}])

    def _metadata(self) -> Response:
        backend = self._backend
        return json_response(200, metadata(backend.name, backend.inputs, backend.outputs, backend.parameters))

    async def _infer(self, request: Request, send: Send) -> int:
        if not {"content-length", "transfer-encoding"} & request.headers.keys():
            raise RequestError("an inference request needs a Content-Length, or a chunked body", 411)
        backend = self._backend
        async with AsyncExitStack() as stack:
            inference = await self._decoded(await stack.enter_async_context(self._plain(request)))
            try:
                async with asyncio.timeout(self._deadline_s + _GRACE_S):
                    homes = homes_in_place(inference) if backend.maps_clients_memory else NOWHERE
                    run = backend.infer(inference.inputs, inference.outputs, self._deadline_s, homes)
                    answer = await stack.enter_async_context(run)
            except TimeoutError as cause:
                raise OverloadedError(f"no answer within {self._deadline_s:g} s: try again") from cause
            # Sent inside the context: the outputs are views of memory that it holds.
            response = await self._encoded(inference, await self._delivered(inference, answer.outputs))
            if answer.server_timing:
                response = replace(response, headers={**response.headers, "server-timing": answer.server_timing})
            coding = answer_coding(request.headers.get("accept-encoding"), response)
            if coding is not None:
                response = await self._with_large(response.length, pack, response, coding)
            return await _send(send, response)

    @asynccontextmanager
    async def _plain(self, request: Request) -> AsyncIterator[Request]:
        """A request with its body as it was before it was packed, inside the context."""
        coding = coding_of(request.headers.get("content-encoding"))
        if coding is None:
            yield request
            return
        body = await self._with_large(len(request.body), unpack, request.body, coding, self._limits.max_body_bytes)
        if not self._buffered.take(len(body)):
            raise RequestError("too many request bodies are on their way: try again", 503)
        try:
            yield replace(request, body=body)
        finally:
            self._buffered.give(len(body))

    async def _with_large(
        self, nbytes: int, function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        """Call a function that takes time for each byte: here, or in the thread beside the event loop."""
        if nbytes <= _INLINE_BYTES:
            return function(*args, **kwargs)
        return await self._aside.run(function, *args, **kwargs)

    async def _decoded(self, request: Request) -> Inference:
        body, header = request.body, request.headers.get("inference-header-content-length")
        clients = ClientsMemory(self._regions, request, self._backend.maps_clients_memory)
        count, limit = json_length(header, len(body)), self._limits.max_json_bytes
        if count > limit:
            raise RequestError(
                f"{count} bytes of JSON are too large: the limit is {limit}; send larger tensors as binary data", 413
            )
        inputs, outputs = self._backend.inputs, self._backend.outputs
        if len(body) <= _INLINE_BYTES or (count <= _INLINE_BYTES and not self._looks_into_binary):
            return decode(body, header, inputs, outputs, clients)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._aside.run(decode, body, header, inputs, outputs, clients)
        except TimeoutError as cause:
            raise OverloadedError(f"not decoded within {self._deadline_s:g} s: try again") from cause

    async def _delivered(self, inference: Inference, outputs: Sequence[TensorValue]) -> Sequence[TensorValue]:
        moved = sum(value.nbytes for value in outputs if value.place is not None or value.name in inference.homes)
        if not moved:
            return outputs
        copied = sum(value.nbytes for value in outputs if value.place is None)
        return await self._with_large(copied, delivered, inference, outputs)

    async def _encoded(self, inference: Inference, outputs: Sequence[TensorValue]) -> Response:
        name, limit = self._backend.name, self._limits.max_json_answer_bytes
        elsewhere = inference.binary | inference.shared.keys()
        written = sum(len(value.data) for value in outputs if value.name not in elsewhere)
        return await self._with_large(written, encode, name, inference, outputs, limit)


async def _send(send: Send, response: Response) -> int:
    await send(response)
    return response.status


def _fixed(make: Callable[[], Response]) -> Callable[[Request, Send], Awaitable[int]]:
    """A route whose response depends on nothing in the request."""

    async def answer(_request: Request, send: Send) -> int:
        return await _send(send, make())

    return answer
