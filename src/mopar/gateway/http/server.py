"""Listens, admits connections, and shuts down in order."""

import asyncio
import contextlib
import errno
from collections.abc import Callable
from dataclasses import replace

from mopar.gateway.backend import Backend
from mopar.gateway.http.access import Access
from mopar.gateway.http.aside import Aside, large_bodies
from mopar.gateway.http.buffered import Buffered
from mopar.gateway.http.connection import Connection
from mopar.gateway.http.crowd import Crowd
from mopar.gateway.http.messages import Handler, HttpLimits
from mopar.gateway.http.metrics import HttpMetrics
from mopar.gateway.http.routes import Routes
from mopar.gateway.prometheus import Registry
from mopar.gateway.regions import Regions
from mopar.types import PlatformError

_LAST_PORT = 65535
_MANY = 64
"""With so many connections open, the same is done when one closes."""


class _Server:
    """What all connections share: their limits, their number, and the memory of their bodies."""

    def __init__(
        self,
        limits: HttpLimits,
        metrics: HttpMetrics,
        handler: Handler,
        access: Access,
        aside: Aside,
        buffered: Buffered,
    ) -> None:
        self.limits, self.metrics, self.handler, self.access = limits, metrics, handler, access
        self.take, self.give = buffered.take, buffered.give
        self.stopping = False
        self._aside = aside
        self._connections: set[Connection] = set()
        self._crowd = Crowd(limits)
        self._empty = asyncio.Event()
        self._empty.set()

    def joined(self, connection: Connection) -> str | None:
        # A refused connection stays open until its client has read why; there may be as many of these as of others.
        self._connections.add(connection)
        self._empty.clear()
        self.metrics.connections.value = len(self._connections)
        refusal = self._crowd.admit(connection, connection.client)
        if refusal is not None and len(self._connections) > 2 * self.limits.max_connections:
            connection.abort()
        return refusal

    def left(self, connection: Connection) -> None:
        if len(self._connections) >= _MANY:
            self._aside.trim_soon()
        self._connections.discard(connection)
        self._crowd.leave(connection)
        self.metrics.connections.value = len(self._connections)
        if not self._connections:
            self._empty.set()

    async def drain(self) -> None:
        """Close idle connections, wait for the others, and abort those that take too long."""
        self.stopping = True
        for connection in tuple(self._connections):
            connection.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.limits.drain_s):
                await self._empty.wait()
        for connection in tuple(self._connections):
            connection.abort()
        # Aborted connections report themselves lost in the loop's next turn.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._empty.wait()


async def serve(
    backend: Backend,
    host: str,
    port: int,
    *,
    registry: Registry,
    shutdown: asyncio.Event,
    on_ready: Callable[[int], None],
    max_body_bytes: int | None = None,
    deadline_s: float = 30.0,
    limits: HttpLimits | None = None,
    access: Access | None = None,
    regions: Regions | None = None,
) -> None:
    """Serve a model until ``shutdown`` is set, then finish what is in flight.

    Args:
        backend: the model.
        host: the address to listen on.
        port: 0 takes a free one.
        registry: where the server's metrics are registered, and what ``/metrics`` shows.
        shutdown: ends the service.
        on_ready: called with the actual port, once connections are accepted.
        max_body_bytes: of a request's body; in place of the one in ``limits``.
        deadline_s: given to every inference.
        limits: of connections and transfers.
        access: which requests are allowed; None for all.
        regions: where clients register memory that they share; by default their bytes have no bound.

    Raises:
        PlatformError: the address cannot be listened on.
    """
    bounds = limits or HttpLimits()
    if max_body_bytes is not None:
        bounds = replace(bounds, max_body_bytes=max_body_bytes)
    metrics = HttpMetrics(registry)
    with large_bodies() as aside:
        buffered = Buffered(bounds.max_buffered_bytes, aside)
        routes = Routes(backend, metrics, deadline_s, bounds, aside, buffered, regions or Regions())
        server = _Server(bounds, metrics, routes, access or Access(), aside, buffered)
        listener = await _listen(server, host, port)
        try:
            on_ready(listener.sockets[0].getsockname()[1])
            await shutdown.wait()
        finally:
            listener.close()
            await server.drain()


async def _listen(server: _Server, host: str, port: int) -> asyncio.Server:
    if not 0 <= port <= _LAST_PORT:  # uvloop would take it modulo 65,536
        raise PlatformError(f"port {port} is no port: choose one from 0 to {_LAST_PORT} with --port")
    try:
        return await asyncio.get_running_loop().create_server(lambda: Connection(server), host, port, backlog=512)
    except OSError as cause:
        if cause.errno == errno.EADDRINUSE:
            message = f"port {port} on {host} is in use: choose another with --port"
        elif cause.errno == errno.EACCES:
            message = f"port {port} on {host} needs privileges: choose one from 1024 with --port"
        else:
            message = f"cannot listen on {host}: {cause.strerror or cause}: choose another with --host"
        raise PlatformError(message) from cause
