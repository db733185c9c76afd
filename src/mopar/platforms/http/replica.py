"""One replica of a function at a URL: its connections, and what its answers mean."""

import asyncio
import socket
import time
from collections.abc import Sequence

from mopar.platforms.http.address import address_of
from mopar.platforms.http.connection import Admit, BrokenError, Connection, Reply
from mopar.platforms.http.messages import error_text, infer_path, own_error, request_head
from mopar.platforms.http.network import Direction
from mopar.platforms.http.watch import Watch
from mopar.platforms.turns import StarvedError, loop_time
from mopar.types import DeploymentError, OverloadedError, PlatformError, RequestError

_CONNECT_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0
_BUSY = frozenset({429, 503})
_REFUSED = frozenset({400, 413, 422})
_UNREACHED = frozenset({500, 502, 503, 504})
"""Where the answer is no function's own, a proxy before the function did not reach it, or lost it during the call."""


class LaterError(Exception):
    """The replica cannot be reached, or is busy: the call may be tried again."""


class Replica:
    """A process of a function that is called over HTTP.

    Args:
        name: of the function.
        url: ``http://HOST:PORT``, optionally with a path.
        watch: reports the state of its process.
        network: to and from it, where one is emulated.

    Attributes:
        running: calls in flight.
        missing_since: on the clock of ``time.monotonic``; None while it can be reached.

    Raises:
        UsageError: the URL is not of that form.
    """

    def __init__(self, name: str, url: str, watch: Watch, network: tuple[Direction, Direction] | None) -> None:
        self.name = name
        self.url = url
        self.watch = watch
        self.running = 0
        self.missing_since: float | None = None
        self._address = address_of(url)
        self._network = network
        self._idle: list[Connection] = []

    async def ask(self, graph: str, text: bytes, views: Sequence[memoryview], admit: Admit, deadline: float) -> Reply:
        """Run an inference, once.

        Returns:
            An answer of status 200.

        Raises:
            LaterError: it is busy or cannot be reached; nothing has run.
            PlatformError: it died during the call.
            RequestError: the graph refused the inputs.
            DeploymentError: it failed, or did not answer in time.
        """
        head = request_head(self._address.path + infer_path(graph), self._address.netloc, text, views)
        self.running += 1
        try:
            reply = await self._exchange(head, [text, *views], admit, deadline)
        except LaterError:
            self.missing_since = time.monotonic()
            raise
        finally:
            self.running -= 1
        if reply.status in _UNREACHED and own_error(reply) is None:
            await self.watch.broke()
            raise PlatformError(self._unreached(reply))
        self.missing_since = None
        if reply.status in _BUSY:
            raise LaterError(error_text(reply))
        return self._judged(reply)

    def failed(self, why: str) -> DeploymentError:
        """An error of this replica, with its function's name and its address."""
        return DeploymentError(f"function {self.name} at {self.url}: {why}")

    def close(self) -> None:
        """Close its connections. No call may be running."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

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
        """An idle connection, or a new one. Raises LaterError, DeploymentError."""
        while self._idle:
            kept = self._idle.pop()
            if kept.usable:
                return kept
        loop = asyncio.get_running_loop()
        until = min(deadline, time.monotonic() + _CONNECT_S)
        try:
            async with asyncio.timeout_at(loop_time(until)):
                return (await loop.create_connection(Connection, self._address.host, self._address.port))[1]
        except socket.gaierror as cause:  # where containers have names, also one that is being restarted
            raise LaterError(f"its host is unknown: {cause.strerror}") from cause
        except TimeoutError as cause:
            raise LaterError("it does not take connections") from cause
        except OSError as cause:
            raise LaterError(f"it cannot be reached: {cause.strerror or cause}") from cause


class Waiting:
    """Growing pauses until a deadline, while a function is busy or cannot be reached."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._pause_s = _FIRST_PAUSE_S

    async def pause(self, replica: Replica, error: LaterError) -> None:
        """Wait before the next try. Raises OverloadedError where the deadline would pass."""
        if time.monotonic() + self._pause_s > self._deadline:
            where = f"function {replica.name} at {replica.url}"
            raise OverloadedError(f"{where} was not there until the deadline: {error}") from error
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
