"""Calls as frames over a socket, tensors in shared memory: the transport to functions of this machine."""

import platform
import time
from collections.abc import Mapping

from mopar.platforms.base import Budget, Unbounded
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.function import LocalFunction
from mopar.platforms.local.request import LocalRequest
from mopar.types import TensorValue

_ORDERED_STORES = platform.machine() in {"x86_64", "AMD64", "i686"}
"""Whether a flag is seen no earlier than what was stored before it, without a barrier."""
_IDLE_S = 10.0
"""Memory that no request has used for so long is given back."""


class LocalTransport:
    """Hands requests an arena each, and keeps arenas for the next ones.

    Args:
        functions: by name.
        budget: bounds the memory of requests; by default nothing does.
    """

    def __init__(self, functions: Mapping[str, LocalFunction], budget: Budget | None = None) -> None:
        self._functions = functions
        self._budget: Budget = budget if budget is not None else Unbounded()
        self._arenas: list[tuple[Arena, float]] = []  # the one used last comes last, with the time when it was

    @property
    def runs_groups(self) -> bool:
        """Functions wait for each other by flags in shared memory, where the processor keeps stores in order."""
        return _ORDERED_STORES

    def ready(self) -> bool:
        """Whether every function would answer now."""
        return all(function.ready() for function in self._functions.values())

    def open(self, inputs: Mapping[str, TensorValue], nbytes: int) -> LocalRequest:
        """Take in a request: its inputs are copied into shared memory."""
        arena = self._arenas.pop()[0] if self._arenas else Arena(self._budget)
        request = LocalRequest(self._functions, arena, self._returned)
        try:
            request.accept(inputs, nbytes)
        except BaseException:
            request.close()
            raise
        return request

    async def close(self) -> None:
        """Give the shared memory back."""
        for arena, _ in self._arenas:
            arena.close()
        self._arenas.clear()

    def _returned(self, arena: Arena) -> None:
        arena.reset()
        now = time.monotonic()
        self._arenas.append((arena, now))
        if now - self._arenas[0][1] > _IDLE_S:
            self._arenas.pop(0)[0].close()
