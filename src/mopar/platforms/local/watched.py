"""Supervised functions that are called over HTTP, as their callers see them."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from mopar.limits import Cgroup
from mopar.platforms.base import Bill
from mopar.platforms.http import Fate
from mopar.platforms.local.supervisor import Supervised, Supervisor
from mopar.platforms.turns import StarvedError
from mopar.types import PlatformError

_EXIT_S = 0.5
"""How long after a broken connection to wait for the notice that the process died, since its end causes both."""
_P = TypeVar("_P", bound=Supervised)


class WatchedFunction(Supervisor[_P]):
    """Supervises a function's process, and reports its state to the transport (``Watch``).

    Args:
        name: of the function.
        make_cgroup: a fresh cgroup with the function's limits for each start; None for no limits.
        on_restart: called with its name each time it is restarted.
        memory_mib: the limit that ``make_cgroup`` sets, for messages.
    """

    def __init__(
        self,
        name: str,
        make_cgroup: Callable[[], Cgroup] | None,
        on_restart: Callable[[str], None],
        memory_mib: int | None,
    ) -> None:
        super().__init__(name, make_cgroup, on_restart, memory_mib)
        self._down = asyncio.Event()
        self._fate = Fate(self._why_down)

    async def start(self) -> None:
        """Start the process and wait until its graphs are loaded."""
        self._down.clear()
        await super().start()

    async def broke(self) -> Fate:
        """Why a connection broke: waits a moment for the notice that the process died, or else names no reason."""
        if self.ready():
            try:
                async with asyncio.timeout(_EXIT_S):
                    await self._down.wait()
            except TimeoutError:
                return Fate("closed its connection")
        return self._fate

    def late(self) -> None:
        """A run cannot be interrupted, only its process replaced."""
        if self._process is not None:
            self._died(self._process, "did not answer before the deadline")

    async def bill(self) -> Bill | None:
        """This machine bills nothing."""
        return None

    def _tell(self, error: PlatformError) -> None:
        self._fate = Fate(self._why_down, isinstance(error, StarvedError))
        self._down.set()
