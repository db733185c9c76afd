"""Whether functions on Lambda answer: each is called once, with a message that all refuse once they are initialised."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from mopar.platforms.http.replica import Replica
from mopar.platforms.http.watch import Unwatched
from mopar.platforms.http.wire import LaterError, Wire
from mopar.types import MoparError, PlatformError

_PAUSE_S = 0.5
_UNLIKE = b"{}"


async def first_answers(functions: Mapping[str, Sequence[str]], wire: Wire, ready_s: float) -> None:
    """Wait until each function has answered.

    Args:
        functions: function -> places of its replicas.
        wire: what they speak; it is closed.
        ready_s: how long each may take.

    Raises:
        PlatformError: one does not answer; names it.
    """
    replicas = [
        Replica(name, place, Unwatched(), None, wire) for name, places in functions.items() for place in {*places}
    ]
    try:
        answers = (_first_answer(replica, ready_s) for replica in replicas)
        for outcome in await asyncio.gather(*answers, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
    finally:
        for replica in replicas:
            replica.close()
        await wire.close()


async def _first_answer(replica: Replica, ready_s: float) -> None:
    deadline = time.monotonic() + ready_s
    while True:
        try:
            await replica.ask("", [_UNLIKE], lambda _length: None, deadline)
            return
        except LaterError as error:
            if time.monotonic() + _PAUSE_S > deadline:
                raise PlatformError(
                    f"function {replica.name} at {replica.place} was not ready within {ready_s:g} s: {error}"
                ) from error
        except MoparError as error:
            raise PlatformError(str(error)) from error
        await asyncio.sleep(_PAUSE_S)
