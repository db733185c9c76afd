"""One client's connection: reads requests and answers them in order; every wait has a time limit."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, cast

from mopar.gateway.http.caller import user_of
from mopar.gateway.http.messages import Chunk, Handler, HttpLimits, Request, Response, error_response
from mopar.gateway.http.metrics import HttpMetrics
from mopar.gateway.http.parser import Budget, Gate, RequestParser
from mopar.types import RequestError

_log = logging.getLogger(__name__)


class Host(Budget, Protocol):
    """What a connection needs of its server."""

    @property
    def limits(self) -> HttpLimits:
        """Bounds for every connection."""

    @property
    def metrics(self) -> HttpMetrics:
        """The server's metrics."""

    @property
    def handler(self) -> Handler:
        """Answers a request."""

    @property
    def access(self) -> Gate:
        """Decides which requests are allowed."""

    @property
    def stopping(self) -> bool:
        """Whether the server is shutting down, and only finishes requests that it has begun."""

    def joined(self, connection: "Connection") -> str | None:
        """Admit a connection. Returns None, or why it is refused where there are too many."""

    def left(self, connection: "Connection") -> None:
        """Forget a connection."""


class Connection(asyncio.Protocol):
    """A keep-alive HTTP/1.1 connection.

    It has one timer at a time: for a request's head, its body, the next request, or the rest of a refused upload. A
    response has a timeout of its own. Requests that arrive while one is answered wait; reading pauses meanwhile.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._parser = RequestParser(host.limits, host, host.access, self._user)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._phase = ""
        self._refusal: Response | None = None
        self._refused = self._ended = False
        self._sent = self._keep_alive = False
        self._knows_user, self._found_user = False, cast("int | None", None)

    # --- asyncio's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        # "Flushed" must mean that nothing is left to send: views of shared memory are released then.
        self._transport.set_write_buffer_limits(high=0)
        refusal = self._host.joined(self)
        if refusal is None:
            self._enter("head", self._host.limits.header_timeout_s, self._time_out)
        elif not self._transport.is_closing():
            self._refuse(error_response(503, refusal))

    def data_received(self, data: bytes) -> None:
        """Parse, and answer complete requests."""
        if self._refused:
            return
        try:
            self._parser.feed(data)
        except RequestError as error:
            self._refusal = error_response(error.status, str(error))
        self._advance()

    def eof_received(self) -> bool:
        """The client has stopped sending; its requests are still answered."""
        self._ended = True
        return self._task is not None and not self._refused

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client has disconnected."""
        self._stop_timer()
        self._flushed.set()
        if self._task is not None:
            self._task.cancel()
        for request in self._parser.requests:
            self._parser.release(request)
        self._parser.requests.clear()
        self._parser.close()
        self._host.left(self)

    def pause_writing(self) -> None:
        """Not all could be sent at once."""
        self._flushed.clear()

    def resume_writing(self) -> None:
        """All has been sent."""
        self._flushed.set()

    # --- requests ---

    @property
    def client(self) -> str:
        """The other end's address; empty where it is gone already."""
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def _user(self) -> int | None:
        """The client's user on this machine, looked up once; None where it is on another."""
        if not self._knows_user:
            self._knows_user = True
            self._found_user = user_of(self._transport.get_extra_info("socket"))
        return self._found_user

    @property
    def idle(self) -> bool:
        """Whether no request is being received or answered."""
        return self._task is None and not self._parser.begun and not self._refused

    def stop(self) -> None:
        """Close at once where idle; otherwise after the request that is being received or answered."""
        if self.idle:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def _advance(self) -> None:
        """Start the next request, send a pending refusal, or wait for more data."""
        if self._task is not None:
            self._transport.pause_reading()
        elif self._parser.requests:
            self._stop_timer()
            request = self._parser.requests.popleft()
            self._task = self._loop.create_task(self._answer(request))
            self._task.add_done_callback(lambda task: self._answered(task, request))
        elif self._refusal is not None:
            self._refuse(self._refusal)
        elif self._ended:
            self._transport.close()
        elif self._parser.reading_body:
            self._enter("body", self._host.limits.transfer_s(self._parser.announced), self._time_out)
            if self._parser.wants_continue:
                self._parser.wants_continue = False
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif self._parser.begun:
            self._enter("head", self._host.limits.header_timeout_s, self._time_out)

    async def _answer(self, request: Request) -> None:
        async def send(response: Response) -> None:
            assert not self._sent, "a request has one response"
            self._sent = True
            self._keep_alive = request.keep_alive and not self._host.stopping
            await self._write(response, keep_alive=self._keep_alive, bodiless=request.method == "HEAD")

        self._sent = False
        await self._host.handler(request, send)

    def _answered(self, task: "asyncio.Task[None]", request: Request) -> None:
        self._task = None
        self._parser.release(request)
        if self._transport.is_closing() or task.cancelled():
            return
        if (cause := task.exception()) is not None:
            _log.error("answering %s %s failed", request.method, request.path, exc_info=cause)
            if self._sent:
                self._transport.abort()
                return
            self._refuse(error_response(500, "internal error: the server's log has the cause"))
        elif not self._keep_alive:
            self._transport.close()
        else:
            self._transport.resume_reading()
            if not self._parser.begun:
                self._enter("idle", self._host.limits.idle_timeout_s, self._transport.close)
            self._advance()

    async def _write(self, response: Response, *, keep_alive: bool, bodiless: bool) -> None:
        """Send a response; its chunks are not used after this returns."""
        chunks: list[Chunk] = [response.head(keep_alive=keep_alive)]
        chunks += [] if bodiless else response.chunks
        try:
            async with asyncio.timeout(self._host.limits.transfer_s(response.length)):
                for chunk in _batches(chunks):
                    self._transport.write(chunk)
                    await self._flushed.wait()
        except TimeoutError:
            # The client does not read, so an error would not reach it either.
            self._transport.abort()

    # --- timeouts and refusals ---

    def _enter(self, phase: str, seconds: float, then: Callable[[], None]) -> None:
        """Arm the timer for a phase; more data within the same phase do not extend it."""
        if phase != self._phase or self._timer is None:
            self._stop_timer()
            self._phase = phase
            self._timer = self._loop.call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        if self._parser.begun:
            self._refuse(error_response(408, f"the request's {self._phase} took too long to arrive"))
        else:
            self._transport.close()

    def _refuse(self, response: Response) -> None:
        """Answer and end the stream, but read on for a while.

        Closing with unread data would reset the connection, and a client that is still sending would lose the answer.
        """
        self._refused = True
        self._host.metrics.refused(response.status)
        self._transport.write(response.head(keep_alive=False) + b"".join(response.chunks))
        if self._transport.can_write_eof() and not self._ended:
            self._transport.write_eof()
        self._transport.resume_reading()
        if self._ended:
            self._transport.close()
        else:
            self._enter("linger", self._host.limits.linger_s, self._transport.abort)


def _batches(chunks: list[Chunk]) -> list[Chunk]:
    """Chunks with neighbouring small ones joined: a system call costs more than copying a few KiB."""
    batches: list[Chunk] = []
    small: list[Chunk] = []
    for chunk in chunks:
        if memoryview(chunk).nbytes <= 1 << 14:
            small.append(chunk)
        else:
            batches += [b"".join(small), chunk] if small else [chunk]
            small = []
    return [*batches, b"".join(small)] if small else batches
