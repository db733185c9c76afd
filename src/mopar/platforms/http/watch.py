"""The state of a function's process, as its callers need to know it."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from mopar.platforms.base import Bill

_END_S = 0.05
"""How long the end of a killed process may take."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Why a connection to a function broke.

    Attributes:
        why: what follows the function's name in a message.
        starved: whether it was killed for lack of memory; its call is not retried then.
    """

    why: str
    starved: bool = False


class Watch(Protocol):
    """Reports the state of a function's process to its callers."""

    def ready(self) -> bool:
        """Whether a call would be answered now."""

    async def until_ready(self, deadline: float) -> None:
        """Wait while the function is being restarted.

        Raises:
            OverloadedError: it was not ready at the deadline, on the clock of ``time.monotonic``.
            DeploymentError: it will not be restarted.
        """

    async def broke(self) -> Fate:
        """Why a connection broke during a call."""

    def late(self) -> None:
        """Report that a call was not answered in time: the function may never finish it."""

    async def bill(self) -> Bill | None:
        """What is billed for the call that has just been answered, if that is known."""


class Unwatched:
    """For a function of which only the address is known."""

    def ready(self) -> bool:
        """It is assumed to be ready."""
        return True

    async def until_ready(self, deadline: float) -> None:
        """It is assumed to be ready."""

    async def broke(self) -> Fate:
        """The reason is not known.

        A process that is killed closes its connections before its listening socket, so a call that was tried again at
        once could meet the same end.
        """
        await asyncio.sleep(_END_S)
        return Fate("closed its connection")

    def late(self) -> None:
        """Nothing: its process is not managed here."""

    async def bill(self) -> Bill | None:
        """Not known."""
        return None
