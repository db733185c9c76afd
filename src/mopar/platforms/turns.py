"""Who may use a function now, and calls that are tried again: alike for all transports."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from mopar.types import DeploymentError, OutOfMemoryError, OverloadedError, PlatformError

_T = TypeVar("_T")


class StarvedError(PlatformError):
    """A function died in a call that took more memory than its limit."""


class Turns:
    """The turns of a function, which runs ``count`` calls at a time.

    Args:
        function: its name.
        count: calls at a time.
    """

    def __init__(self, function: str, count: int = 1) -> None:
        self._function = function
        self._free = asyncio.Semaphore(count)
        self._count = count
        self._calls = 0  # that have their turn or wait for it: it is free for a moment between two of them

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return max(self._calls - self._count, 0)

    @contextlib.asynccontextmanager
    async def take(self, deadline: float) -> AsyncIterator[None]:
        """Have a turn.

        Args:
            deadline: on the clock of ``time.monotonic``.

        Raises:
            OverloadedError: the deadline passed before there was one.
        """
        alone = self._calls < self._count
        self._calls += 1
        try:
            if alone:
                await self._free.acquire()  # at once: a timer would cost more than the lock
            else:
                await self._wait(deadline)
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._calls -= 1

    async def _wait(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(loop_time(deadline)):
                await self._free.acquire()
        except TimeoutError as cause:
            raise OverloadedError(f"function {self._function} was busy until the deadline") from cause


async def twice(run: Callable[[], Awaitable[_T]]) -> tuple[_T, int]:
    """What a call gave, and at which attempt: what meets a function's death is tried once more.

    Args:
        run: waits until the function is there, and calls it.

    Raises:
        OutOfMemoryError: the function died of the call.
        DeploymentError: it died twice.
    """
    for attempt in (1, 2):
        try:
            return await run(), attempt
        except StarvedError as error:
            raise OutOfMemoryError(f"{error}; not tried again") from error
        except PlatformError as error:
            if attempt == 2:
                raise DeploymentError(f"{error}, twice in one request") from error
    raise AssertionError("unreachable")


def loop_time(deadline: float) -> float:
    """A deadline on the clock of ``time.monotonic``, on the running loop's."""
    return asyncio.get_running_loop().time() + deadline - time.monotonic()
