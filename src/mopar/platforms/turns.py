"""Limits on concurrent calls, and retries of calls; shared by all transports."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mopar.types import DeploymentError, OutOfMemoryError, OverloadedError, PlatformError

_T = TypeVar("_T")


class StarvedError(PlatformError):
    """A function was killed in a call that needed more memory than its limit."""


class Turns:
    """Lets ``count`` calls run at a time; further ones wait in order.

    Args:
        what: is called, for errors.
        count: calls at a time.
    """

    def __init__(self, what: str, count: int = 1) -> None:
        self._what = what
        self._free = asyncio.Semaphore(count)
        self._count = count
        self._calls = 0  # running or waiting; the semaphore alone does not show it, as it is free between two calls

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return max(self._calls - self._count, 0)

    @property
    def free(self) -> bool:
        """Whether a call could run at once."""
        return self._calls < self._count

    def take(self, deadline: float) -> "_Turn":
        """Wait until the call may run; it counts as running inside the ``async with`` block.

        Args:
            deadline: on the clock of ``time.monotonic``.

        Raises:
            OverloadedError: the deadline passed while waiting.
        """
        return _Turn(self, deadline)

    async def enter(self, deadline: float) -> None:
        """Begin a turn, as ``take`` does; at once where one is free."""
        alone = self.free
        self._calls += 1
        try:
            if alone:
                await self._free.acquire()  # returns at once; a timer would cost more than the semaphore
            else:
                await self._wait(deadline)
        except BaseException:  # a cancellation too
            self._calls -= 1
            raise

    def leave(self) -> None:
        """End a turn."""
        self._free.release()
        self._calls -= 1

    async def _wait(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(loop_time(deadline)):
                await self._free.acquire()
        except TimeoutError as cause:
            raise OverloadedError(f"{self._what} was busy until the deadline") from cause


class _Turn:
    """One turn. ``contextlib``'s form of it would take several times as long, in every call."""

    __slots__ = ("_deadline", "_turns")

    def __init__(self, turns: Turns, deadline: float) -> None:
        self._turns, self._deadline = turns, deadline

    async def __aenter__(self) -> None:
        await self._turns.enter(self._deadline)

    async def __aexit__(self, *_: object) -> None:
        self._turns.leave()


async def twice(run: Callable[[], Awaitable[_T]], tried: int = 0) -> tuple[_T, int]:
    """Run a call, and once more if its function dies during it.

    Args:
        run: waits until the function is up, and calls it.
        tried: how often the function died during it before.

    Returns:
        The call's result, and the number of attempts.

    Raises:
        OutOfMemoryError: the call needed more memory than its function has.
        DeploymentError: the function died twice.
    """
    for attempt in range(tried + 1, 3):
        try:
            return await run(), attempt
        except StarvedError as error:
            raise OutOfMemoryError(f"{error}; not tried again") from error
        except PlatformError as error:
            if attempt == 2:
                raise DeploymentError(f"{error}, twice in one request") from error
    raise AssertionError("unreachable")


def loop_time(deadline: float) -> float:
    """A deadline on the clock of ``time.monotonic``, converted to the running loop's clock."""
    return asyncio.get_running_loop().time() + deadline - time.monotonic()
