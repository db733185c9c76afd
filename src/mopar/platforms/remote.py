"""Functions that run elsewhere as a ``Deployment``: somebody else starts, limits and restarts them."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from mopar.platforms.base import Budget, Deployment, Transport
from mopar.platforms.endpoints import LAMBDA, LAMBDA_EMULATED, Endpoints
from mopar.platforms.http import HttpTransport, Polled
from mopar.platforms.http.oip import OipWire
from mopar.platforms.http.wire import Wire
from mopar.platforms.request_codes import NO_CODES, PlanCodes
from mopar.types import Manifest, PlatformError, UsageError


class RemoteDeployment(ABC):
    """Functions at known addresses. Use it as an async context manager.

    Args:
        endpoints: where they are.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    @property
    def limited(self) -> bool:
        """Their platform limits them."""
        return True

    @abstractmethod
    def transport(self, budget: Budget | None = None) -> Transport:
        """What carries calls to the functions."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Wait until all functions answer. Raises PlatformError naming one that does not."""

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections; the functions are not ours to stop."""


class HttpElsewhere(RemoteDeployment):
    """Functions at URLs.

    Args:
        endpoints: where they are.
        codes: which tensors are sent encoded.
    """

    def __init__(self, endpoints: Endpoints, codes: PlanCodes = NO_CODES) -> None:
        """Raises UsageError where an address is malformed."""
        super().__init__(endpoints)
        self._codes = codes
        self._watches = {
            name: Polled(name, urls, endpoints.revisions.get(name, "")) for name, urls in endpoints.functions.items()
        }

    def transport(self, budget: Budget | None = None) -> HttpTransport:
        """What carries calls to the functions."""
        return HttpTransport(
            self.endpoints.functions,
            budget,
            watches=self._watches,
            concurrency=self.endpoints.concurrency,
            wire=OipWire(self._codes),
        )

    async def __aenter__(self) -> Self:
        """Wait until all functions answer."""
        seconds = self.endpoints.ready_s
        missing = await asyncio.gather(*(watch.first_answers(seconds) for watch in self._watches.values()))
        for name, why in zip(self._watches, missing, strict=True):
            if why:
                raise PlatformError(
                    f"function {name} was not ready within {seconds:g} s: {why}: see its own messages, or wait longer"
                )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask for nobody's health any more; the transport closes its connections."""
        for watch in self._watches.values():
            await watch.close()


class LambdaElsewhere(RemoteDeployment):
    """Functions of AWS Lambda, or emulators of it at URLs.

    Args:
        endpoints: where they are.
        manifest: whose functions they are.

    Raises:
        UsageError: an address names no function, or no region is named.
    """

    def __init__(self, endpoints: Endpoints, manifest: Manifest) -> None:
        super().__init__(endpoints)
        self._codes = PlanCodes.of(manifest)
        wire = self._wire()
        for place in (place for places in endpoints.functions.values() for place in places):
            wire.address(place)

    def transport(self, budget: Budget | None = None) -> HttpTransport:
        """What carries calls to the functions."""
        return HttpTransport(
            self.endpoints.functions, budget, concurrency=self.endpoints.concurrency, wire=self._wire()
        )

    async def __aenter__(self) -> Self:
        """Call every function once, so that it is initialised."""
        from mopar.platforms.aws_lambda.trying import first_answers

        await first_answers(self.endpoints.functions, self._wire(), self.endpoints.ready_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing: the transport closes its connections."""

    def _wire(self) -> Wire:
        from mopar.platforms.aws_lambda.transport import lambda_wire  # other transports do without

        return lambda_wire(self.endpoints.functions, self.endpoints.aws, self._codes)


class SocketsElsewhere(RemoteDeployment):
    """Functions at sockets in a folder of this machine, each of which serves one gateway at a time.

    Args:
        endpoints: where they are; one replica each.
        manifest: whose functions they have to be.
        on_restart: called with a function's name each time its connection is lost.

    Raises:
        UsageError: a function has several replicas.
    """

    def __init__(self, endpoints: Endpoints, manifest: Manifest, on_restart: Callable[[str], None]) -> None:
        super().__init__(endpoints)
        from mopar.platforms.local.connected import ConnectedFunction  # other transports do without

        self._functions = {}
        for function in manifest.plan.functions:
            path, *others = endpoints.functions[function.name]
            if others:
                raise UsageError(f"function {function.name}: replicas are called by http, not by socket")
            graphs = [graph for graph in manifest.graphs if graph.function == function.name]
            self._functions[function.name] = ConnectedFunction(function.name, Path(path), graphs, on_restart)

    def transport(self, budget: Budget | None = None) -> Transport:
        """What carries calls to the functions."""
        from mopar.platforms.local.transport import LocalTransport

        return LocalTransport(self._functions, budget)

    async def __aenter__(self) -> Self:
        """Connect to all functions. Raises BundleError too, where one is of another bundle."""
        ready_s = self.endpoints.ready_s
        try:
            await asyncio.gather(*(function.start_within(ready_s) for function in self._functions.values()))
        except BaseException:  # a cancellation too
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._close()

    async def _close(self) -> None:
        await asyncio.gather(*(function.close() for function in self._functions.values()))


def functions_elsewhere(endpoints: Endpoints, manifest: Manifest, on_restart: Callable[[str], None]) -> Deployment:
    """The functions of a manifest at their addresses.

    Args:
        endpoints: where they are.
        manifest: of the bundle.
        on_restart: called with a function's name where it is noticed that it was restarted.

    Raises:
        UsageError: no such transport.
        PlatformError: the gateway has to encode tensors, and lacks the library.
    """
    if endpoints.transport == "http":
        return HttpElsewhere(endpoints, PlanCodes.of(manifest))
    if endpoints.transport == "socket":
        return SocketsElsewhere(endpoints, manifest, on_restart)
    if endpoints.transport == LAMBDA:
        return LambdaElsewhere(endpoints, manifest)
    if endpoints.transport == LAMBDA_EMULATED:
        from mopar.platforms.aws_lambda.instances import EmulatedDeployment  # other transports do without

        return EmulatedDeployment(endpoints, manifest, on_restart)
    raise UsageError(f"functions elsewhere are called by http, socket or aws-lambda, not by {endpoints.transport!r}")
