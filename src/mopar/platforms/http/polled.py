"""The state of a function that somebody else starts and restarts: known by asking for its health."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

from mopar.platforms.base import Bill
from mopar.platforms.http.address import address_of
from mopar.platforms.http.health import Health, health_at
from mopar.platforms.http.watch import Fate
from mopar.platforms.turns import loop_time
from mopar.types import OverloadedError

_ASK_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0


class Polled:
    """Implements ``Watch``: after a call found the function missing, it is asked for its health until it is back.

    So a call that may have begun is sent again once, when there is somebody to answer it.

    Args:
        name: of the function.
        urls: of its replicas, of which several may have the same; one that answers is enough.
        revision: what it must say that it was deployed as; empty where that is not known.

    Raises:
        UsageError: a URL is malformed.
    """

    def __init__(self, name: str, urls: Sequence[str], revision: str = "") -> None:
        self._name = name
        self._urls = tuple(dict.fromkeys(urls))
        self._addresses = [address_of(url) for url in self._urls]
        self._revision = revision
        self._returning: asyncio.Task[None] | None = None

    def ready(self) -> bool:
        """Whether it was there when it was last needed."""
        return self._returning is None

    async def until_ready(self, deadline: float) -> None:
        """Wait until it is back. Raises OverloadedError at the deadline."""
        if self._returning is None:
            return
        try:
            async with asyncio.timeout_at(loop_time(deadline)):
                await asyncio.shield(self._returning)
        except TimeoutError as cause:
            where = " and ".join(self._urls)
            raise OverloadedError(f"function {self._name} at {where} was not there until the deadline") from cause

    async def broke(self) -> Fate:
        """Begin to ask for its health; why the connection broke is not known."""
        if self._returning is None:
            self._returning = asyncio.create_task(self._return())
        return Fate("closed its connection")

    def late(self) -> None:
        """Nothing: its process is not managed here."""

    async def bill(self) -> Bill | None:
        """Not known."""
        return None

    async def first_answers(self, timeout_s: float) -> str:
        """Wait until all replicas are ready.

        Returns:
            Why one is not, as the end of a message; empty where all are.
        """
        deadline, pause_s = time.monotonic() + timeout_s, _FIRST_PAUSE_S
        while why := await self._missing():
            if time.monotonic() + pause_s > deadline:
                return why
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return ""

    async def close(self) -> None:
        """Ask no more. No call may be running."""
        if self._returning is not None:
            self._returning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._returning

    async def _missing(self) -> str:
        for url, health in zip(self._urls, await self._ask(), strict=True):
            if not health.ready:
                return f"{url} does not answer"
            if not self._is_ours(health):
                return f"{url} answers as revision {health.revision or 'of no name'}, not {self._revision}"
        return ""

    async def _return(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not any(health.ready and self._is_ours(health) for health in await self._ask()):
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._returning = None

    def _is_ours(self, health: Health) -> bool:
        return not self._revision or health.revision == self._revision

    async def _ask(self) -> list[Health]:
        return await asyncio.gather(*(health_at(address, _ASK_S) for address in self._addresses))
