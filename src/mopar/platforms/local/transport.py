"""Calls as frames over a socket, tensors in shared memory: the transport to functions of this machine."""

import os
import time
from collections.abc import Mapping

from mopar.bundle.call_plans import Made
from mopar.platforms.base import NO_HOMES, Budget, Unbounded
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.foreseen import ForeseenShapes
from mopar.platforms.local.function import LocalFunction
from mopar.platforms.local.places import Places
from mopar.platforms.local.request import LocalRequest
from mopar.segments import Place
from mopar.types import TensorValue

_ORDERED_STORES = os.uname().machine in {"x86_64", "AMD64", "i686"}
"""Whether other processes see a flag no earlier than what was stored before it, without a barrier."""
_IDLE_S = 10.0
"""Memory that no request has used for so long is released."""


class LocalTransport:
    """Gives each request an arena, and keeps arenas for later requests.

    Args:
        functions: by name.
        budget: bounds the memory of requests; by default nothing does.
        foreseen: shapes that earlier requests have shown; by default none yet.
    """

    def __init__(
        self,
        functions: Mapping[str, LocalFunction],
        budget: Budget | None = None,
        foreseen: ForeseenShapes | None = None,
    ) -> None:
        self._functions = functions
        self._peers = {name: number for number, name in enumerate(functions)}
        self._budget: Budget = budget if budget is not None else Unbounded()
        self._foreseen = ForeseenShapes() if foreseen is None else foreseen
        self._arenas: list[tuple[Arena, float]] = []  # with the time of its last use, in that order

    @property
    def runs_groups(self) -> bool:
        """Whether functions can wait for each other by flags: where the processor keeps stores in order."""
        return _ORDERED_STORES

    @property
    def maps_clients_memory(self) -> bool:
        """True: workers map what the gateway has open."""
        return True

    @property
    def runs_chains(self) -> bool:
        """True: workers of one machine can send frames to each other."""
        return True

    def ready(self) -> bool:
        """Whether every function would answer now."""
        return all(function.ready() for function in self._functions.values())

    def open(
        self,
        inputs: Mapping[str, TensorValue],
        nbytes: int,
        homes: Mapping[Made, Place] = NO_HOMES,
        *,
        foresee: bool = True,
    ) -> LocalRequest:
        """Begin a request: its inputs are copied into shared memory, unless they are in the client's."""
        arena = self._arenas.pop()[0] if self._arenas else Arena(self._budget)
        places = Places(arena, self._peers, self._foreseen.of(inputs), foresee=foresee)
        request = LocalRequest(self._functions, places, self._returned)
        try:
            request.accept(inputs, nbytes, homes)
        except BaseException:  # an interrupt too: its memory is given back
            request.close()
            raise
        return request

    async def close(self) -> None:
        """Release the shared memory."""
        for arena, _ in self._arenas:
            arena.close()
        self._arenas.clear()

    def _returned(self, arena: Arena) -> None:
        arena.reset()
        now = time.monotonic()
        self._arenas.append((arena, now))
        if now - self._arenas[0][1] > _IDLE_S:
            self._arenas.pop(0)[0].close()
