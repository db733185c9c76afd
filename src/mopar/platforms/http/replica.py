"""One replica of a function: its connections, and what its answers mean."""

import asyncio
import time
from dataclasses import replace

from mopar.platforms.http.connection import Admit, BrokenError, Reply
from mopar.platforms.http.network import Direction
from mopar.platforms.http.pool import Connections
from mopar.platforms.http.watch import Watch
from mopar.platforms.http.wire import LaterError, LostError, Parts, SlowError, Wire
from mopar.platforms.turns import StarvedError
from mopar.types import DeploymentError, OverloadedError, PlatformError

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0


class Replica:
    """A process of a function that is called over HTTP.

    Args:
        name: of the function.
        place: that names it, such as ``http://HOST:PORT``, optionally with a path.
        watch: reports the state of its process.
        network: to and from it, where one is emulated.
        wire: what it speaks.

    Attributes:
        running: calls in flight.
        missing_since: on the clock of ``time.monotonic``; None while it can be reached.

    Raises:
        UsageError: the place names none.
    """

    def __init__(
        self, name: str, place: str, watch: Watch, network: tuple[Direction, Direction] | None, wire: Wire
    ) -> None:
        self.name = name
        self.place = place
        self.watch = watch
        self.running = 0
        self.missing_since: float | None = None
        self._wire = wire
        self.connections = Connections(wire.address(place), network, wire.most_unannounced_bytes)

    async def ask(self, graph: str, parts: Parts, admit: Admit, deadline: float) -> Reply:
        """Run an inference, once.

        Returns:
            An answer with outputs, or with an error that the function tells in its place.

        Raises:
            LaterError: it is busy or cannot be reached; nothing has run.
            PlatformError: it died during the call.
            RequestError: the graph refused the inputs.
            DeploymentError: it failed, or did not answer in time.
        """
        head = self._wire.head(self.connections.address, graph, parts)
        self.running += 1
        try:
            reply = await self._exchange(head, parts, admit, deadline)
        except LaterError:
            self.missing_since = time.monotonic()
            raise
        finally:
            self.running -= 1
        try:
            self._wire.judge(self.name, reply)
        except LostError as error:
            raise await self._lost(f"at {self.place} {error}", starved=error.starved) from error
        except SlowError as error:
            self.watch.late()
            raise self.failed(str(error)) from error
        except DeploymentError as error:
            self.missing_since = None
            raise self.failed(str(error)) from error
        except BaseException:  # it answered, or the call was cancelled: neither says that it cannot be reached
            self.missing_since = None
            raise
        self.missing_since = None
        bill = await self.watch.bill()
        return reply if bill is None else replace(reply, bill=bill)

    def failed(self, why: str) -> DeploymentError:
        """An error of this replica, with its function's name and its address."""
        return DeploymentError(f"function {self.name} at {self.place}: {why}")

    def close(self) -> None:
        """Close its connections. No call may be running."""
        self.connections.close()

    async def _lost(self, why: str, *, starved: bool) -> PlatformError:
        """The error of a call during which the function was lost, as its answer says or as is known of its process."""
        fate = await self.watch.broke()
        if fate.starved:
            return StarvedError(f"function {self.name} {fate.why}")
        return (StarvedError if starved else PlatformError)(f"function {self.name} {why}")

    async def _exchange(self, head: bytes, parts: Parts, admit: Admit, deadline: float) -> Reply:
        try:
            return await self.connections.ask(head, parts, admit, deadline)
        except TimeoutError as cause:
            self.watch.late()
            raise self.failed("it did not answer before the deadline") from cause
        except BrokenError as cause:
            fate = await self.watch.broke()
            error = StarvedError if fate.starved else PlatformError
            raise error(f"function {self.name} {fate.why}") from cause
        except DeploymentError as error:
            raise self.failed(str(error)) from error


class Waiting:
    """Growing pauses until a deadline, while a function is busy or cannot be reached."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._pause_s = _FIRST_PAUSE_S

    async def pause(self, replica: Replica, error: LaterError) -> None:
        """Wait before the next try. Raises OverloadedError where the deadline would pass."""
        if time.monotonic() + self._pause_s > self._deadline:
            where = f"function {replica.name} at {replica.place}"
            raise OverloadedError(f"{where} was not there until the deadline: {error}") from error
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
