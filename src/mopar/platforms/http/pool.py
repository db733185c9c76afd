"""Connections to one address, kept for further requests."""

import asyncio
import socket
import time
from typing import TYPE_CHECKING

from mopar.platforms.http.address import Address
from mopar.platforms.http.connection import Admit, Connection, Reply
from mopar.platforms.http.network import Direction
from mopar.platforms.http.wire import LaterError, Parts
from mopar.platforms.turns import loop_time

if TYPE_CHECKING:
    import ssl

_CONNECT_S = 5.0


class Connections:
    """Asks one server, by as many connections as there are requests at a time.

    Args:
        address: of the server.
        network: to and from it, where one is emulated.
        most_unannounced_bytes: largest answer that does not say its size beforehand; 0 where each must.
    """

    def __init__(
        self,
        address: Address,
        network: tuple[Direction, Direction] | None = None,
        most_unannounced_bytes: int = 0,
    ) -> None:
        self.address = address
        self.idle: list[Connection] = []
        self._network = network
        self._most_unannounced_bytes = most_unannounced_bytes
        self._tls: ssl.SSLContext | None = None

    async def ask(self, head: bytes, parts: Parts, admit: Admit, deadline: float) -> Reply:
        """Send a request and wait for its answer.

        Args:
            head: of the request.
            parts: of its body.
            admit: called with the size of the answer's body.
            deadline: on the clock of ``time.monotonic``.

        Raises:
            LaterError: it cannot be reached; nothing was sent.
            TimeoutError: the deadline passed.
            BrokenError: the connection ended before the answer did.
            DeploymentError: the answer is not valid HTTP.
            MoparError: raised by ``admit``.
        """
        connection = await self._connection(deadline)
        try:
            async with asyncio.timeout_at(loop_time(deadline)):
                return await connection.ask(head, parts, admit, self._network)
        finally:
            if connection.usable:
                self.idle.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        """Close the connections. No request may be running."""
        for connection in self.idle:
            connection.close()
        self.idle.clear()

    async def _connection(self, deadline: float) -> Connection:
        """An idle connection, or a new one. Raises LaterError."""
        while self.idle:
            kept = self.idle.pop()
            if kept.usable:
                return kept
        until = min(deadline, time.monotonic() + _CONNECT_S)
        try:
            async with asyncio.timeout_at(loop_time(until)):
                return await self._new()
        except socket.gaierror as cause:  # where containers have names, also one that is being restarted
            raise LaterError(f"its host is unknown: {cause.strerror}") from cause
        except TimeoutError as cause:
            raise LaterError("it does not take connections") from cause
        except OSError as cause:
            raise LaterError(f"it cannot be reached: {cause.strerror or cause}") from cause

    async def _new(self) -> Connection:
        address, loop = self.address, asyncio.get_running_loop()
        if address.tls and self._tls is None:
            import ssl  # 10 MiB, which functions of this machine do without

            self._tls = ssl.create_default_context()
        return (await loop.create_connection(self._made, address.host, address.port, ssl=self._tls))[1]

    def _made(self) -> Connection:
        return Connection(self._most_unannounced_bytes)
