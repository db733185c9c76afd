"""One kept-alive connection to a function: httptools parses heads, bodies are received directly to their memory."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import httptools

from mopar.buffers import fresh_bytes
from mopar.platforms.base import Bill
from mopar.platforms.http.network import Direction
from mopar.types import DeploymentError

_HEAD_BYTES = 1 << 14
_MAX_HEAD_BYTES = 1 << 15
_MAX_ERROR_BYTES = 1 << 16

Admit = Callable[[int], None]
"""Called with the size of an answer's body before memory is allocated for it; raises to refuse it."""


class BrokenError(Exception):
    """The connection ended before the answer did."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; the names of its headers are in lower case. ``bill`` is what its platform bills, if that is known."""

    status: int
    headers: Mapping[str, str]
    body: memoryview
    bill: Bill | None = None


class Connection(asyncio.BufferedProtocol):
    """A connection for one call at a time.

    Args:
        most_unannounced_bytes: largest answer that does not say its size beforehand; 0 where each must.

    Attributes:
        usable: whether it may be used for another call.
    """

    def __init__(self, most_unannounced_bytes: int = 0) -> None:
        self.usable = False
        self._most_unannounced_bytes = most_unannounced_bytes
        self._transport: asyncio.Transport | None = None
        self._incoming = memoryview(bytearray(_HEAD_BYTES))
        self._reply: asyncio.Future[Reply] | None = None
        self._parser: httptools.HttpResponseParser | None
        self._admit: Admit
        self._body: memoryview | None
        self._pieces: bytearray | None
        self._forget()

    async def ask(
        self,
        head: bytes,
        parts: Sequence[bytes | memoryview],
        admit: Admit,
        network: "tuple[Direction, Direction] | None",
    ) -> Reply:
        """Send a request and wait for its answer. Where this raises or is cancelled, the caller closes the connection.

        Args:
            head: of the request.
            parts: of its body, which are not copied.
            admit: called with the size of the answer's body.
            network: to and from the function, where one is emulated.

        Raises:
            BrokenError: the connection ended.
            DeploymentError: the answer is not valid HTTP.
            MoparError: raised by ``admit``.
        """
        assert self._transport is not None, "not connected"
        assert self.usable, "used for two calls at once, or after its end"
        self.usable = False
        self._parser, self._admit = httptools.HttpResponseParser(self), admit
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._reply = reply
        sent = True
        try:
            if network is None:
                self._transport.writelines([head, *parts])
                found = await reply
            else:
                self._transport.write(head)
                sent = await network[0].send(parts, self._write)
                found = await reply
                await network[1].pass_by(len(found.body))
            # An answer before all was sent is a refusal: the function would take the rest for the next request.
            sent = sent and not self._transport.get_write_buffer_size()
            self.usable = sent and self._keep and not self._transport.is_closing()
        finally:
            if not reply.cancel() and not reply.cancelled():
                reply.exception()  # marks it as retrieved, also where the wait ended for another reason
            self._forget()
        return found

    def close(self) -> None:
        """Close it; a waiting call is not woken up."""
        self.usable = False
        self._reply = None
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes | memoryview) -> bool:
        """Send more of a body; False where the request has been answered already."""
        if self._transport is None or self._reply is None:
            return False
        self._transport.write(data)
        return True

    def _forget(self) -> None:
        """Drop all references to the last call, since the connection may be idle for long."""
        self._admit = _anything
        self._parser = None
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._status = 0
        self._keep = False
        self._body = None
        self._filled = 0
        self._pieces = None

    # --- asyncio's callbacks ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self.usable = True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._fail(BrokenError(str(exc or "closed")))

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where the next bytes go: to the body, once its memory is allocated."""
        if self._body is not None and self._filled < len(self._body):
            return self._body[self._filled :]
        return self._incoming

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have arrived."""
        if self._body is not None and self._filled < len(self._body):
            self._filled += nbytes
            self._finish_if_whole()
            return
        if self._reply is None or self._parser is None:
            self._fail(DeploymentError("it sends more than was asked for"))
            return
        try:
            self._parser.feed_data(self._incoming[:nbytes])
        except httptools.HttpParserError as error:
            self._fail(error.__context__ if isinstance(error.__context__, Exception) else _no_http(error))
            return
        self._head_bytes += nbytes
        if self._body is None and self._pieces is None and self._head_bytes > _MAX_HEAD_BYTES:
            self._fail(DeploymentError("it answers with a head that does not end"))
        self._finish_if_whole()

    # --- httptools' callbacks; what they raise comes back from feed_data as the context of an HttpParserError ---

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """The size of the body is known: allocate its memory."""
        assert self._parser is not None
        self._status = self._parser.get_status_code()
        if self._status < 200:  # such as 100: the answer is still to come
            self._headers = {}
            return
        self._keep = self._parser.should_keep_alive()
        length = self._announced()
        if length is None and self._most_unannounced_bytes and "chunked" in self._headers.get("transfer-encoding", ""):
            self._pieces = bytearray()
            return
        if self._status == 200:
            if length is None:
                raise DeploymentError("it answers without a Content-Length")
            self._admit(length)
        elif length is None or length > _MAX_ERROR_BYTES:
            length, self._keep = 0, False
        self._body = fresh_bytes(length)

    def on_body(self, data: bytes) -> None:
        """The part of the body that arrived together with the head, or any of an unannounced size."""
        if self._pieces is not None:
            if len(self._pieces) + len(data) > self._most_unannounced_bytes:
                raise DeploymentError(f"it answers with more than {self._most_unannounced_bytes} bytes")
            self._pieces += data
        elif self._body is not None and self._filled + len(data) <= len(self._body):
            self._body[self._filled : self._filled + len(data)] = data
            self._filled += len(data)

    def on_message_complete(self) -> None:
        """The end of a body of an unannounced size."""
        if self._pieces is not None:
            if self._status == 200:
                self._admit(len(self._pieces))
            self._body, self._filled = memoryview(self._pieces), len(self._pieces)

    def _announced(self) -> int | None:
        """The size of the body; None where the head does not say it."""
        if self._status == 204:
            return 0
        text = self._headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdecimal() else None

    def _finish_if_whole(self) -> None:
        if self._body is None or self._filled < len(self._body):
            return
        reply, self._reply, self._parser = self._reply, None, None
        if reply is not None and not reply.done():
            reply.set_result(Reply(self._status, self._headers, self._body))

    def _fail(self, error: Exception) -> None:
        self.usable = False
        reply, self._reply, self._parser = self._reply, None, None
        if reply is not None and not reply.done():
            reply.set_exception(error)
        if self._transport is not None:
            self._transport.abort()


def _anything(_length: int) -> None:
    """The ``Admit`` of a connection that no call uses."""


def _no_http(error: Exception) -> DeploymentError:
    return DeploymentError(f"it does not speak HTTP/1.1: {error}")
