"""Parses requests from a byte stream: httptools, with the limits that it lacks."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import NoReturn, Protocol

import httptools

from mopar.gateway.http.body import Body
from mopar.gateway.http.messages import HttpLimits, Request
from mopar.types import RequestError


class Budget(Protocol):
    """Bounds the bytes of all bodies together."""

    def take(self, count: int) -> bool:
        """Claim bytes; False where there are none left."""

    def give(self, count: int) -> None:
        """Return bytes."""


class Gate(Protocol):
    """Decides which requests are allowed."""

    def check(self, path: str, headers: Mapping[str, str]) -> None:
        """Raise RequestError where a request is not allowed."""


class RequestParser:
    """Collects requests from what a connection receives.

    Attributes:
        requests: whole ones, in order.
        reading_body: the head of a request is complete, its body is not.
        announced: bytes that this body will have at most.
        wants_continue: its sender waits for ``100 Continue``.
    """

    def __init__(
        self, limits: HttpLimits, budget: Budget, gate: Gate, user: Callable[[], int | None] = lambda: None
    ) -> None:
        self.requests: deque[Request] = deque()
        self.reading_body = False
        self.begun = False
        self.announced = 0
        self.wants_continue = False
        self._limits, self._budget, self._gate, self._user = limits, budget, gate, user
        self._parser = httptools.HttpRequestParser(self)
        self._refusal: RequestError | None = None
        self._progress, self._silent = False, 0
        self._held = 0
        self._body = Body(0)  # an idle connection must not hold its last request's body
        self._reset()

    def feed(self, data: bytes) -> None:
        """Parse more of the stream.

        Raises:
            RequestError: it is not HTTP, or passes a limit; nothing after it can be read.
        """
        self._progress = False
        rest = memoryview(data)
        while rest:
            try:
                self._parser.feed_data(rest)
                break
            except httptools.HttpParserUpgrade as upgrade:
                # An upgrade is an offer, which is declined by answering the request without it.
                rest = rest[upgrade.args[0] :]
            except httptools.HttpParserError as cause:
                raise self._refusal or RequestError(f"not a valid HTTP/1.1 request: {cause}") from cause
        # The parser keeps headers, trailers and chunk extensions until they end, however long they are.
        self._silent = 0 if self._progress else self._silent + len(data)
        if self._silent > self._limits.max_header_bytes:
            raise self._too_long()

    def close(self) -> None:
        """Return what is held of a body that will not be finished."""
        self._budget.give(self._held)
        self._held = 0
        self._body = Body(0)  # an idle connection must not hold its last request's body
        # This object and its parser refer to each other; the garbage collector would free them, but late.
        del self._parser

    def release(self, request: Request) -> None:
        """Return what a request's body held, once it is answered."""
        self._budget.give(len(request.body))

    def _too_long(self) -> RequestError:
        return RequestError(f"headers are longer than {self._limits.max_header_bytes} bytes", 431)

    def _refuse(self, error: RequestError) -> NoReturn:
        self._refusal = error
        raise error

    def _reset(self) -> None:
        self._url, self._path = b"", "/"
        self._headers: dict[str, str] = {}
        self._header_bytes = 0
        self._body = Body(0)

    # --- httptools' callbacks; what they raise comes back from feed_data as an HttpParserError ---

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._reset()
        self.begun = True

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; after a chunked body also a trailer, which is ignored."""
        if self.reading_body:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text
        self._header_bytes += len(name) + len(value) + 4

    def on_headers_complete(self) -> None:
        """All that can be refused without the body is refused here."""
        self._progress = True
        limit = self._limits.max_body_bytes
        if self._header_bytes + len(self._url) > self._limits.max_header_bytes:
            self._refuse(self._too_long())
        coding = self._headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            self._refuse(RequestError(f"transfer-encoding {coding[:100]} is not accepted: send chunked", 415))
        length = self._headers.get("content-length")
        if length is not None and int(length) > limit:
            self._refuse(RequestError(f"a body of {length} bytes is too large: the limit is {limit}", 413))
        self.announced = limit if coding else int(length or 0)
        self._body = Body(None if coding else self.announced)
        version = self._parser.get_http_version()
        if version == "1.1" and "host" not in self._headers:
            self._refuse(RequestError("an HTTP/1.1 request needs a Host header"))
        self._path = self._path_of_url()
        try:
            self._gate.check(self._path, self._headers)
        except RequestError as error:
            self._refuse(error)
        expect = self._headers.get("expect")
        if expect is not None and expect.lower() != "100-continue":
            self._refuse(RequestError(f"cannot meet the expectation {expect[:100]}", 417))
        self.wants_continue = expect is not None and version == "1.1" and self.announced > 0
        self.reading_body = True

    def _path_of_url(self) -> str:
        try:
            path: bytes = httptools.parse_url(self._url).path or b"/"
            return path.decode("ascii")
        except (httptools.HttpParserError, UnicodeDecodeError):
            self._refuse(RequestError("the request's target is not a valid URL"))

    def on_chunk_header(self) -> None:
        """A chunk's size line is over."""
        self._progress = True

    def on_body(self, chunk: bytes) -> None:
        """A part of the body."""
        self._progress, self.wants_continue = True, False
        if self._body.filled + len(chunk) > self._limits.max_body_bytes:
            limit = self._limits.max_body_bytes
            self._refuse(RequestError(f"the body is too large: the limit is {limit} bytes", 413))
        if not self._budget.take(len(chunk)):
            self._refuse(RequestError("too many request bodies are on their way: try again", 503))
        self._held += len(chunk)
        self._body.add(chunk)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._progress = True
        self.reading_body = self.begun = self.wants_continue = False
        # The version is part of keep-alive here: HTTP/1.0 connections are closed, as most servers do.
        keep = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"
        method = self._parser.get_method().decode("ascii")
        self.requests.append(Request(method, self._path, self._headers, self._body.view(), keep, self._user))
        self._held = 0
        self._body = Body(0)  # an idle connection must not hold its last request's body
