"""What whoever runs a function may tell of it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Fate:
    """Why a connection to a function broke.

    Attributes:
        why: in words, behind the function's name.
        starved: whether it was killed for want of memory: then its call is not tried again.
    """

    why: str
    starved: bool = False


class Watch(Protocol):
    """Whoever runs a function, as far as its calls are concerned."""

    def ready(self) -> bool:
        """Whether a call would be answered now."""

    async def until_ready(self, deadline: float) -> None:
        """Wait for a function that is started again.

        Raises:
            OverloadedError: it was not back at the deadline, on the clock of ``time.monotonic``.
            DeploymentError: it is not coming back.
        """

    async def broke(self) -> Fate:
        """A connection broke in the middle of a call: why."""

    def late(self) -> None:
        """A call was not answered in time: the function may be computing it for ever."""


class Unwatched:
    """Of a function of which nothing is known but its address."""

    def ready(self) -> bool:
        """It is taken to be there."""
        return True

    async def until_ready(self, deadline: float) -> None:
        """It is taken to be there."""

    async def broke(self) -> Fate:
        """Nobody can tell."""
        return Fate("closed its connection")

    def late(self) -> None:
        """Nobody is to be told."""
