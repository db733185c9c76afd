"""Strict parsing of requests' heads: what is not clearly valid HTTP/1.1 or 1.0 is refused."""

from mopar.runtime.request import RefusedError

MAX_HEAD_BYTES = 32 << 10
_END = b"\r\n\r\n"
_DIGITS = frozenset(b"0123456789")
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_LONGEST_NUMBER = 18
_CONTROLS = frozenset(range(32)) - {9} | {127}

REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
    411: "Length Required", 413: "Content Too Large", 415: "Unsupported Media Type",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}  # fmt: skip


class Head:
    """A request's first line and those of its headers that matter.

    Attributes:
        method, path: as sent; the path without its query.
        length: of the body in bytes; None where it was not announced.
        json_length: how many of them are JSON, by ``Inference-Header-Content-Length``; None where it is absent.
        keep: whether the connection may serve another request.
        expects: whether the client waits for ``100 Continue``.
    """

    __slots__ = ("expects", "json_length", "keep", "length", "method", "path")

    def __init__(self, method: str, path: str, headers: "dict[bytes, bytes]", *, recent: bool) -> None:
        self.method = method
        self.path = path
        self.length = _number(headers, b"content-length")
        self.json_length = _number(headers, b"inference-header-content-length")
        self.keep = recent and b"close" not in headers.get(b"connection", b"").lower()
        expectation = headers.get(b"expect", b"").lower()
        if expectation not in {b"", b"100-continue"}:
            raise RefusedError(417, "no expectation but 100-continue can be met")
        self.expects = recent and expectation != b""
        if b"transfer-encoding" in headers:
            raise RefusedError(411, "send the body with a Content-Length, not chunked")
        if recent and b"host" not in headers:
            raise RefusedError(400, "an HTTP/1.1 request needs a Host header")


def take_head(buffer: bytearray) -> "Head | None":
    """Remove and return the head at the buffer's beginning; None where it has not fully arrived.

    Raises:
        RefusedError: it is no head, or too long; nothing after it can be parsed.
    """
    while buffer.startswith(b"\r\n"):  # some clients send a superfluous line end after a body
        del buffer[:2]
    end = buffer.find(_END, 0, MAX_HEAD_BYTES)
    if end < 0:
        if len(buffer) >= MAX_HEAD_BYTES:
            raise RefusedError(431, f"a head longer than {MAX_HEAD_BYTES} bytes")
        return None
    first, *lines = bytes(buffer[:end]).split(b"\r\n")
    del buffer[: end + len(_END)]
    method, path, recent = _first_line(first)
    return Head(method, path, _headers(lines), recent=recent)


def _first_line(line: bytes) -> "tuple[str, str, bool]":
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[0] or not _TOKEN.issuperset(parts[0]) or not _is_plain(parts[1]):
        raise RefusedError(400, "not a request of HTTP/1.1")
    if parts[2] not in {b"HTTP/1.1", b"HTTP/1.0"}:
        raise RefusedError(505, "only HTTP/1.1 and 1.0 are spoken here")
    return parts[0].decode(), parts[1].partition(b"?")[0].decode(), parts[2] == b"HTTP/1.1"


def _is_plain(target: bytes) -> bool:
    return target.startswith(b"/") and all(32 < byte < 127 for byte in target)


def _headers(lines: "list[bytes]") -> "dict[bytes, bytes]":
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or not _TOKEN.issuperset(name) or not _CONTROLS.isdisjoint(value):
            raise RefusedError(400, "a header line that is none")
        key = name.lower()
        text = value.strip(b" \t")
        if headers.get(key, text) != text and key in {b"content-length", b"inference-header-content-length", b"host"}:
            raise RefusedError(400, f"two values for {key.decode()}")
        headers[key] = headers[key] + b", " + text if key in headers and key == b"connection" else text
    return headers


def _number(headers: "dict[bytes, bytes]", key: bytes) -> "int | None":
    text = headers.get(key)
    if text is None:
        return None
    if not text or len(text) > _LONGEST_NUMBER or not _DIGITS.issuperset(text):
        raise RefusedError(400, f"{key.decode()} must be a number of bytes")
    return int(text)


def answer_head(status: int, length: int, headers: "dict[str, object]", *, keep: bool) -> bytes:
    """The head of an answer with a body of ``length`` bytes."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if not keep:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
