"""Functions that run elsewhere as a ``Deployment``: somebody else starts, limits and restarts them."""

import asyncio
from types import TracebackType
from typing import Self

from mopar.platforms.base import Budget
from mopar.platforms.endpoints import Endpoints
from mopar.platforms.health import answers_within
from mopar.platforms.http import HttpTransport
from mopar.types import PlatformError, UsageError


class RemoteDeployment:
    """Functions at known addresses. Use it as an async context manager.

    Args:
        endpoints: where they are.

    Raises:
        UsageError: no such transport.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        if endpoints.transport != "http":
            raise UsageError(f"functions elsewhere are called by http, not by {endpoints.transport!r}")
        self._endpoints = endpoints

    @property
    def limited(self) -> bool:
        """Their platform limits them."""
        return True

    def transport(self, budget: Budget | None = None) -> HttpTransport:
        """What carries calls to the functions."""
        return HttpTransport(self._endpoints.functions, budget)

    async def __aenter__(self) -> Self:
        """Wait until all functions answer. Raises PlatformError naming one that does not."""
        waits = [
            asyncio.to_thread(answers_within, url, self._endpoints.ready_s)
            for urls in self._endpoints.functions.values()
            for url in urls
        ]
        named = [(name, url) for name, urls in self._endpoints.functions.items() for url in urls]
        for (name, url), ready in zip(named, await asyncio.gather(*waits), strict=True):
            if not ready:
                raise PlatformError(
                    f"function {name} at {url} was not ready within {self._endpoints.ready_s:g} s: "
                    "see its own messages, or wait longer"
                )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing: they are not ours to stop."""
