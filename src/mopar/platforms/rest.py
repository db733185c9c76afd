"""A platform's REST API: one request at a time, each with a deadline, and answers of bounded size."""

import http.client
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mopar.types import PlatformError, UsageError

MOST_ANSWER_BYTES = 16 << 20
_MOST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status and its whole body."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the request was done or accepted."""
        return 200 <= self.status < 300

    def text(self) -> str:
        """The beginning of the body in one line, for messages."""
        text = " ".join(self.body[:_MOST_TEXT].decode(errors="replace").split())
        return text or "it says nothing else"


@dataclass(frozen=True, slots=True)
class Rest:
    """A REST API.

    Attributes:
        what: it is, for messages, such as ``the OpenFaaS gateway``.
        url: before all paths.
        headers: sent with every request; they may hold secrets, and are in no message.
        timeout_s: for each request, from connecting to the last byte of its answer.
    """

    what: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request and wait for its answer, of whatever status.

        Args:
            method: of HTTP.
            path: after ``url``.
            body: to send; empty for none.
            headers: beside those of every request.

        Raises:
            PlatformError: there was no answer, or too large a one.
        """
        parts = urlsplit(self.url)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = connect(parts.netloc, timeout=self.timeout_s)
        deadline = _Deadline(self.timeout_s)
        try:
            connection.connect()
            with deadline.of(connection.sock):
                connection.request(
                    method, parts.path.rstrip("/") + path, body or None, {**self.headers, **(headers or {})}
                )
                with connection.getresponse() as response:
                    data = response.read(MOST_ANSWER_BYTES + 1)
                    if response.length and len(data) <= MOST_ANSWER_BYTES:  # reading a part of it tells of no end
                        raise http.client.IncompleteRead(data, response.length)
        except (OSError, http.client.HTTPException, ValueError) as cause:
            raise PlatformError(f"{self.what} at {self.url}: {method} {path}: {deadline.why(cause)}") from cause
        finally:
            connection.close()
        if len(data) > MOST_ANSWER_BYTES:
            raise PlatformError(
                f"{self.what} at {self.url}: {method} {path}: an answer over {MOST_ANSWER_BYTES >> 20} MiB"
            )
        return Answer(response.status, data)


class _Deadline:
    """Ends the use of a socket when the time is over, however slowly data arrive."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._until = time.monotonic() + timeout_s
        self._passed = threading.Event()
        self._timer: threading.Timer | None = None

    def of(self, connection: socket.socket) -> "_Deadline":
        """For this connection."""

        def end() -> None:
            self._passed.set()
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has ended by itself

        self._timer = threading.Timer(max(self._until - time.monotonic(), 0.0), end)
        self._timer.daemon = True
        return self

    def __enter__(self) -> None:
        assert self._timer is not None, "of a connection"
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        assert self._timer is not None, "of a connection"
        self._timer.cancel()

    def why(self, cause: Exception) -> str:
        """The reason of a failure, as the end of a message."""
        if self._passed.is_set() or isinstance(cause, TimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        if isinstance(cause, http.client.RemoteDisconnected | ConnectionResetError | http.client.IncompleteRead):
            return "the connection was closed without an answer"
        if isinstance(cause, OSError):
            return f"it cannot be reached: {cause.strerror or cause}"
        return f"it does not speak HTTP: {type(cause).__name__}"


def checked_url(url: str, option: str) -> str:
    """A base URL without its trailing slash. Raises UsageError where it is none, or has a password in it."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise UsageError(f"{option} {_without_password(url)}: write http://HOST:PORT, or https://HOST")
    if parts.username is not None or parts.password is not None:
        raise UsageError(f"{option} {_without_password(url)}: passwords do not belong on the command line")
    return url.rstrip("/")


def _without_password(url: str) -> str:
    before, at, after = url.rpartition("@")
    return f"{before.partition('://')[0]}://..@{after}" if at else url
