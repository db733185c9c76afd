"""Turns of a function's calls: who runs, who waits, and that none is left counted."""

import asyncio
import time

import pytest

from mopar.platforms.turns import Turns
from mopar.types import OverloadedError

PATIENCE_S = 20.0


def soon() -> float:
    return time.monotonic() + PATIENCE_S


def test_those_that_end_are_cancelled_or_come_too_late_are_not_counted_any_more() -> None:
    async def main() -> None:
        turns = Turns("f0")

        async def call() -> None:
            async with turns.take(soon()):
                pass

        async with turns.take(soon()):
            waiting = [asyncio.create_task(call()) for _ in range(2)]
            await asyncio.sleep(0)
            assert turns.waiting == 2
            with pytest.raises(OverloadedError, match="f0 was busy"):
                async with turns.take(time.monotonic()):
                    pass
            assert turns.waiting == 2
            waiting[0].cancel()
            await asyncio.wait(waiting[:1])
            assert turns.waiting == 1
        await waiting[1]
        with pytest.raises(ZeroDivisionError):
            async with turns.take(soon()):
                raise ZeroDivisionError
        async with turns.take(soon()):
            assert turns.waiting == 0

    asyncio.run(main())
