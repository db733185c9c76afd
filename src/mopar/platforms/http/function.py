"""A function at a URL: its connections, how many calls it runs at a time, and what its answers mean."""

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mopar.platforms.http.address import address_of
from mopar.platforms.http.connection import Admit, BrokenError, Connection, Reply
from mopar.platforms.http.messages import error_text, infer_path, own_error, request_head
from mopar.platforms.http.network import Direction
from mopar.platforms.http.watch import Watch
from mopar.platforms.turns import StarvedError, Turns, loop_time, twice
from mopar.types import DeploymentError, OverloadedError, PlatformError, RequestError

_CONNECT_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0
_BUSY = frozenset({429, 503})
_REFUSED = frozenset({400, 413, 422})
_UNREACHED = frozenset({500, 502, 503, 504})
"""Where the answer is no function's own, a proxy before the function did not reach it, or lost it during the call."""


class _LaterError(Exception):
    """The function cannot be reached, or is busy: the call is tried again later."""


@dataclass(slots=True)
class Payload:
    """Bytes of bodies to and from a function, without those of calls that ended in an error."""

    calls: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0


class RemoteFunction:
    """A function that is called over HTTP.

    Args:
        name: of the function.
        url: ``http://HOST:PORT``, optionally with a path.
        watch: reports the state of its process.
        concurrency: calls at a time, and so connections.
        network: to and from it, where one is emulated.

    Raises:
        UsageError: the URL is not of that form.
    """

    def __init__(
        self, name: str, url: str, watch: Watch, concurrency: int, network: tuple[Direction, Direction] | None
    ) -> None:
        self.name = name
        self.url = url
        self.watch = watch
        self.payload = Payload()
        self._address = address_of(url)
        self._turns = Turns(name, concurrency)
        self._network = network
        self._idle: list[Connection] = []

    async def call(
        self, graph: str, text: bytes, views: Sequence[memoryview], admit: Admit, deadline: float
    ) -> tuple[Reply, int]:
        """Run an inference; if the function dies during it, it is tried once more.

        Args:
            graph: its name.
            text: the request's JSON.
            views: the data that follow it.
            admit: called with the size of the answer's body before memory is allocated for it.
            deadline: on the clock of ``time.monotonic``.

        Returns:
            An answer of status 200, and the attempts that it took.

        Raises:
            RequestError: the graph refused the inputs.
            OverloadedError: it was busy, or could not be reached, until the deadline.
            OutOfMemoryError: it was killed because the call needed too much memory.
            DeploymentError: it failed, died twice, or did not answer in time.
        """
        head = request_head(self._address.path + infer_path(graph), self._address.netloc, text, views)
        async with self._turns.take(deadline):
            reply, attempts = await twice(lambda: self._answered(head, [text, *views], admit, deadline))
        self.payload.calls += 1
        self.payload.sent_bytes += len(text) + sum(map(len, views))
        self.payload.received_bytes += len(reply.body)
        return reply, attempts

    def failed(self, why: str) -> DeploymentError:
        """An error of this function, with its name and address."""
        return DeploymentError(f"function {self.name} at {self.url}: {why}")

    def close(self) -> None:
        """Close its connections. No call may be running."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _answered(self, head: bytes, parts: Sequence[bytes | memoryview], admit: Admit, deadline: float) -> Reply:
        """An answer of status 200; the call is repeated while the function is busy or cannot be reached."""
        pause_s = _FIRST_PAUSE_S
        while True:
            await self.watch.until_ready(deadline)
            try:
                reply = await self._exchange(head, parts, admit, deadline)
                if reply.status in _UNREACHED and own_error(reply) is None:
                    await self.watch.broke()
                    raise PlatformError(self._unreached(reply))
                if reply.status not in _BUSY:
                    return self._judged(reply)
                why = error_text(reply)
            except _LaterError as error:
                why = str(error)
            if time.monotonic() + pause_s > deadline:
                raise OverloadedError(f"function {self.name} at {self.url} was not there until the deadline: {why}")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _unreached(self, reply: Reply) -> str:
        """What a proxy's answer means; behind one it is not known why a function ended."""
        said = f"a proxy answered {reply.status}: {error_text(reply)}"
        return f"function {self.name} at {self.url} was not there ({said}; it may have run out of memory)"

    def _judged(self, reply: Reply) -> Reply:
        if reply.status == 200:
            return reply
        text = error_text(reply)
        if reply.status in _REFUSED:
            raise RequestError(f"the model refused these inputs: {text}", reply.status)
        raise self.failed(f"it answered {reply.status}: {text}")

    async def _exchange(self, head: bytes, parts: Sequence[bytes | memoryview], admit: Admit, deadline: float) -> Reply:
        connection = await self._connection(deadline)
        try:
            async with asyncio.timeout_at(loop_time(deadline)):
                return await connection.ask(head, parts, admit, self._network)
        except TimeoutError as cause:
            self.watch.late()
            raise self.failed("it did not answer before the deadline") from cause
        except BrokenError as cause:
            fate = await self.watch.broke()
            error = StarvedError if fate.starved else PlatformError
            raise error(f"function {self.name} {fate.why}") from cause
        except DeploymentError as error:
            raise self.failed(str(error)) from error
        finally:
            if connection.usable:
                self._idle.append(connection)
            else:
                connection.close()

    async def _connection(self, deadline: float) -> Connection:
        """An idle connection, or a new one. Raises _LaterError, DeploymentError."""
        while self._idle:
            kept = self._idle.pop()
            if kept.usable:
                return kept
        loop = asyncio.get_running_loop()
        until = min(deadline, time.monotonic() + _CONNECT_S)
        try:
            async with asyncio.timeout_at(loop_time(until)):
                return (await loop.create_connection(Connection, self._address.host, self._address.port))[1]
        except socket.gaierror as cause:
            raise self.failed(f"its host is unknown: {cause.strerror}") from cause
        except TimeoutError as cause:
            raise _LaterError("it does not take connections") from cause
        except OSError as cause:
            raise _LaterError(f"it cannot be reached: {cause.strerror or cause}") from cause
