"""Turns of a function's calls: who runs, who waits, and that none is left counted."""

import asyncio
import time

import pytest

from mopar.platforms.turns import Turns, twice
from mopar.types import DeploymentError, OverloadedError, PlatformError

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


def test_a_call_is_tried_twice_in_all_also_where_its_function_died_before() -> None:
    async def main() -> None:
        deaths = 0

        async def run() -> str:
            nonlocal deaths
            if deaths:
                deaths -= 1
                raise PlatformError("function f0 was killed")
            return "answer"

        assert await twice(run) == ("answer", 1)
        assert await twice(run, 1) == ("answer", 2)
        deaths = 1
        assert await twice(run) == ("answer", 2)
        deaths = 1
        with pytest.raises(DeploymentError, match="f0 was killed, twice in one request"):
            await twice(run, 1)

    asyncio.run(main())
