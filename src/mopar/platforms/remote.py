"""Functions that run elsewhere as a ``Deployment``: somebody else starts, limits and restarts them."""

import asyncio
from types import TracebackType
from typing import Self

from mopar.platforms.base import Budget
from mopar.platforms.endpoints import Endpoints
from mopar.platforms.http import HttpTransport, Polled
from mopar.types import PlatformError, UsageError


class RemoteDeployment:
    """Functions at known addresses. Use it as an async context manager.

    Args:
        endpoints: where they are.

    Raises:
        UsageError: no such transport, or an address is malformed.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        if endpoints.transport != "http":
            raise UsageError(f"functions elsewhere are called by http, not by {endpoints.transport!r}")
        self._endpoints = endpoints
        self._watches = {
            name: Polled(name, urls, endpoints.revisions.get(name, "")) for name, urls in endpoints.functions.items()
        }

    @property
    def limited(self) -> bool:
        """Their platform limits them."""
        return True

    def transport(self, budget: Budget | None = None) -> HttpTransport:
        """What carries calls to the functions."""
        return HttpTransport(self._endpoints.functions, budget, watches=self._watches)

    async def __aenter__(self) -> Self:
        """Wait until all functions answer. Raises PlatformError naming one that does not."""
        seconds = self._endpoints.ready_s
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
        """Ask for nobody's health any more; the functions are not ours to stop."""
        for watch in self._watches.values():
            await watch.close()
