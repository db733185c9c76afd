"""Functions that start and stop together."""

import asyncio
from collections.abc import Collection
from typing import Any

from mopar.platforms.local.supervisor import Supervisor


async def start_all(functions: Collection[Supervisor[Any]]) -> None:
    """Start all at once; where one fails, none is left.

    Raises:
        EngineError, PlatformError: a function did not come up.
    """
    starts = [asyncio.create_task(function.start()) for function in functions]
    try:
        done = await asyncio.gather(*starts, return_exceptions=True)
    except asyncio.CancelledError:
        await asyncio.gather(*starts, return_exceptions=True)  # they were cancelled with this task
        await close_all(functions)
        raise
    failures = [outcome for outcome in done if isinstance(outcome, BaseException)]
    if failures:
        await close_all(functions)
        raise failures[0]


async def close_all(functions: Collection[Supervisor[Any]]) -> None:
    """Stop all."""
    await asyncio.gather(*(function.close() for function in functions))
