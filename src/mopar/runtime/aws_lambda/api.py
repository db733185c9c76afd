"""Lambda's runtime API: HTTP/1.1 to an address that Lambda names, over one connection."""

from _socket import IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, getaddrinfo, socket
from time import perf_counter_ns

from mopar.runtime.jsontext import quoted

TYPE_CHECKING = False  # typing and collections cost memory
if TYPE_CHECKING:
    from collections.abc import Iterable

_VERSION = "/2018-06-01/runtime/"
_CHUNK_BYTES = 16 << 10
_MOST_HEAD_BYTES = 64 << 10
_END = b"\r\n\r\n"
_JSON = "Content-Type: application/json\r\n"


class ApiError(Exception):
    """The runtime API has closed the connection, or does not answer as it should: this process has to end."""


class Invocation:
    """A call of the function.

    Attributes:
        id: Lambda's, of the request.
        body: its message.
        arrived_ns: when its head arrived, on the clock of ``perf_counter_ns``.
        deadline_ms: when Lambda ends it, since the epoch; 0 where it does not say.
    """

    __slots__ = ("arrived_ns", "body", "deadline_ms", "id")

    def __init__(self, name: str, body: bytearray, arrived_ns: int, deadline_ms: int = 0) -> None:
        self.id = name
        self.body = body
        self.arrived_ns = arrived_ns
        self.deadline_ms = deadline_ms


class RuntimeApi:
    """A connection to the runtime API, which is made when it is first needed.

    Args:
        address: host and port, as ``AWS_LAMBDA_RUNTIME_API`` has them.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._host = host.encode()  # of text, the name would be looked up by a codec that takes 1 MiB
        self._port = int(port)
        self._address = address
        self._socket: socket | None = None
        self._buffer = bytearray()
        self._arrived_ns = 0

    def next(self) -> Invocation:
        """Wait for the next invocation. Raises ApiError."""
        self._send(f"GET {_VERSION}invocation/next", 0, ())
        status, headers = self._head()
        body = self._body(headers)
        name = headers.get(b"lambda-runtime-aws-request-id", b"").decode("ascii", "replace")
        if status != 200 or not name:
            raise ApiError(f"the runtime API answered {status}, and no invocation")
        deadline = headers.get(b"lambda-runtime-deadline-ms", b"")
        return Invocation(name, body, self._arrived_ns, int(deadline) if deadline.isdigit() else 0)

    def respond(self, name: str, length: int, parts: "Iterable[bytes]") -> None:
        """Answer an invocation with a body of ``length`` bytes, sent part by part. Raises ApiError."""
        self._post(f"invocation/{name}/response", length, parts)

    def fail(self, name: str, kind: str, text: str) -> None:
        """Report that an invocation failed because this process is broken. Raises ApiError."""
        self._report(f"invocation/{name}/error", kind, text)

    def fail_init(self, kind: str, text: str) -> None:
        """Report that the function cannot serve any invocation. Raises ApiError."""
        self._report("init/error", kind, text)

    def restored(self) -> None:
        """Let Lambda take its snapshot; returns in each process that is restored from it. Raises ApiError."""
        self._send(f"GET {_VERSION}restore/next", 0, ())
        self._body(self._head()[1])
        self.close()  # what the snapshot holds of a connection is no connection any more

    def _report(self, path: str, kind: str, text: str) -> None:
        body = f'{{"errorMessage":{quoted(text)},"errorType":{quoted(kind)},"stackTrace":[]}}'.encode()
        self._post(path, len(body), (body,), f"Lambda-Runtime-Function-Error-Type: {kind}\r\n")

    def _post(self, path: str, length: int, parts: "Iterable[bytes]", headers: str = "") -> None:
        self._send(f"POST {_VERSION}{path}", length, parts, _JSON + headers)
        status, found = self._head()
        body = self._body(found)
        if status != 202:
            raise ApiError(f"the runtime API answered {status} to {path}: {bytes(body[:200])!r}")

    # --- HTTP ---

    def _send(self, line: str, length: int, parts: "Iterable[bytes]", headers: str = "") -> None:
        head = f"{line} HTTP/1.1\r\nHost: {self._address}\r\n{headers}Content-Length: {length}\r\n\r\n".encode()
        try:
            if self._socket is None:
                self._socket = self._connected()
            self._socket.sendall(head)
            for part in parts:
                self._socket.sendall(part)
        except OSError as cause:
            raise ApiError(f"the runtime API at {self._address} cannot be reached: {cause.strerror}") from cause

    def _connected(self) -> socket:
        family, kind, protocol, _, address = getaddrinfo(self._host, self._port, 0, SOCK_STREAM)[0]
        made = socket(family, kind, protocol)
        made.connect(address)
        made.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        return made

    def close(self) -> None:
        """Close the connection; the next call makes another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer.clear()

    def _head(self) -> "tuple[int, dict[bytes, bytes]]":
        """Status and headers of an answer, their names in lower case."""
        while (end := self._buffer.find(_END)) < 0:
            if len(self._buffer) > _MOST_HEAD_BYTES:
                raise ApiError("the runtime API's answer has no end of its head")
            self._fill()
        self._arrived_ns = perf_counter_ns()
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + len(_END)]
        headers = {}
        for line in lines:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        try:
            return int(first.split(b" ", 2)[1]), headers
        except (IndexError, ValueError) as cause:
            raise ApiError("the runtime API's answer is none of HTTP") from cause

    def _body(self, headers: "dict[bytes, bytes]") -> bytearray:
        """The body of an answer, received into memory of its size."""
        try:
            if b"chunked" not in headers.get(b"transfer-encoding", b""):
                return self._exactly(bytearray(), int(headers.get(b"content-length", b"0")))
            body = bytearray()
            while (size := int(self._line().split(b";")[0], 16)) > 0:
                body = self._exactly(body, size)
                self._line()
            while self._line():
                pass  # headers behind the body
        except ValueError as cause:
            raise ApiError("the runtime API's answer has no valid length") from cause
        return body

    def _exactly(self, body: bytearray, count: int) -> bytearray:
        """The next ``count`` bytes behind those of ``body``."""
        start = len(body)
        body += bytes(count) if start else b""
        body = body if start else bytearray(count)
        early = min(count, len(self._buffer))
        with memoryview(body) as view, memoryview(self._buffer) as arrived:
            view[start : start + early] = arrived[:early]
            start, end = start + early, start + count
            assert self._socket is not None, "a body before its head"
            while start < end:
                received = self._socket.recv_into(view[start:end])
                if not received:
                    raise ApiError("the runtime API has closed the connection")
                start += received
        del self._buffer[:early]
        return body

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _fill(self) -> None:
        assert self._socket is not None, "an answer without a question"
        try:
            data = self._socket.recv(_CHUNK_BYTES)
        except OSError as cause:
            raise ApiError(f"the runtime API: {cause.strerror}") from cause
        if not data:
            raise ApiError("the runtime API has closed the connection")
        self._buffer += data
