"""Requests and responses, and the server's limits on them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec

Chunk = bytes | bytearray | memoryview
JSON = "application/json"
_EXPLAINED: Mapping[int, Mapping[str, str]] = {503: {"retry-after": "1"}, 401: {"www-authenticate": "Bearer"}}


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds on what one client can make the server hold or wait for.

    Attributes:
        max_body_bytes: of one request.
        max_json_bytes: of one request's JSON, without binary data.
        max_json_answer_bytes: of an answer's JSON.
        max_buffered_bytes: bodies of all connections together.
        max_header_bytes: request line and headers; also chunk extensions and trailers.
        max_connections: more get 503 at once, unless a client with more than its share has an idle one to close.
        max_client_connections: from one address; for IPv6, from one /64.
        header_timeout_s: from connecting, or a request's first byte, to the end of its headers.
        idle_timeout_s: between two requests of a connection.
        transfer_timeout_s: for receiving a body or sending a response, plus its size at ``min_rate_bytes_s``.
        linger_s: how long a refused upload is read and dropped, so that its sender sees the answer.
        drain_s: how long a shutdown waits for requests in flight.
    """

    max_body_bytes: int = 64 << 20
    max_json_bytes: int = 8 << 20
    max_json_answer_bytes: int = 64 << 20
    max_buffered_bytes: int = 512 << 20
    max_header_bytes: int = 32 << 10
    max_connections: int = 512
    max_client_connections: int = 256
    header_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0
    transfer_timeout_s: float = 30.0
    min_rate_bytes_s: int = 64 << 10
    linger_s: float = 2.0
    drain_s: float = 30.0

    def transfer_s(self, size: int) -> float:
        """Seconds that the transfer of ``size`` bytes may take."""
        return self.transfer_timeout_s + size / self.min_rate_bytes_s


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request. ``headers`` has lower-case names; of a repeated one, the values joined by commas.

    ``user`` returns the id of the client's user on this machine, None where it is on another.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: memoryview
    keep_alive: bool
    user: Callable[[], int | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response; ``chunks`` may be views of memory that is valid until it has been sent."""

    status: int
    chunks: Sequence[Chunk]
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return sum(memoryview(chunk).nbytes for chunk in self.chunks)

    def head(self, *, keep_alive: bool) -> bytes:
        """The status line and headers."""
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", f"content-type: {self.content_type}"]
        lines.append(f"content-length: {self.length}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if not keep_alive:
            lines.append("connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


Send = Callable[[Response], Awaitable[None]]
Handler = Callable[[Request, Send], Awaitable[None]]


def json_response(status: int, value: object, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is ``value`` as JSON."""
    return Response(status, [msgspec.json.encode(value)], headers=headers or {})


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the protocol's form. 503 has the header Retry-After, 401 has WWW-Authenticate."""
    extra = _EXPLAINED.get(status, {})
    # A name from the request may be in it, and be of any length.
    text = message if len(message) <= 500 else message[:500] + "..."
    return json_response(status, {"error": text}, {**extra, **(headers or {})})
