"""Sizes of requests that ran a function out of memory: refused for a while, since others wait while it restarts."""

import time
from collections.abc import Mapping

from mopar.types import OutOfMemoryError, TensorValue

_FIRST_S, _LONGEST_S = 5.0, 300.0
_MOST_KEPT = 256

_Sizes = tuple[tuple[str, tuple[int, ...]], ...]


class Starving:
    """Refuses such sizes for 5 s; each time that they kill a function again, twice as long, up to 300 s."""

    def __init__(self) -> None:
        self._until: dict[_Sizes, tuple[float, float, str]] = {}

    def check(self, inputs: Mapping[str, TensorValue]) -> None:
        """Raise OutOfMemoryError while requests of these sizes are refused."""
        if not self._until:
            return
        known = self._until.get(_sizes(inputs))
        if known is not None and (left := known[0] - time.monotonic()) > 0:
            raise OutOfMemoryError(f"{known[2]}; requests of these sizes are tried again in {left:.0f} s")

    def note(self, inputs: Mapping[str, TensorValue], why: str) -> None:
        """Record that a request of these sizes ran a function out of memory."""
        sizes, now = _sizes(inputs), time.monotonic()
        _, before_s, _ = self._until.pop(sizes, (0.0, _FIRST_S / 2, ""))
        pause_s = min(2 * before_s, _LONGEST_S)
        if len(self._until) >= _MOST_KEPT:
            self._until.pop(next(iter(self._until)))
        self._until[sizes] = now + pause_s, pause_s, why


def _sizes(inputs: Mapping[str, TensorValue]) -> _Sizes:
    return tuple(sorted((name, value.shape) for name, value in inputs.items()))
