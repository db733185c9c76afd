"""The search for the smallest limit that is enough: which limit to try next."""

import math

from mopar.measurement.policy import MemoryPolicy


class Bracket:
    """The limits between which the answer lies, and which to try next.

    From a guess it moves by a small stride at first, down or up, which doubles: a limit far too small takes longest to
    fail, and what is used without a limit may be twice as much as is needed. Between a failure and a success it halves.
    Less than what was held is not expected to do: a stride that would go far below stops close to it.

    Args:
        too_small: bytes that cannot be enough.
        enough: bytes that are.
        held: bytes that a run without a limit could not do without, as far as its counters tell.
        guess: bytes to try first.
        policy: that says how fine the limit is to be.
    """

    def __init__(self, too_small: int, enough: int, held: float, guess: float, policy: MemoryPolicy) -> None:
        self.too_small, self.enough = too_small, enough
        self._fine = policy.fine_bytes
        self._held = held
        self._stride = 1
        self._next = guess
        if guess > enough - self._fine(enough):
            self._down()

    def next_limit(self) -> int | None:
        """Bytes to try next; None once the answer is found to the resolution."""
        if self.enough - self.too_small <= self._fine(self.enough):
            return None
        inside = self.too_small < self._next < self.enough
        return math.ceil(self._next if inside else (self.too_small + self.enough) / 2)

    def tried(self, limit: int, *, enough: bool) -> None:
        """Note how a limit did."""
        if enough:
            self.enough = limit
            self._down()
        else:
            self.too_small = limit
            self._next = min((limit + self.enough) / 2, limit + self._stride * self._fine(limit))
        self._stride *= 2

    def _down(self) -> None:
        fine = self._fine(self.enough)
        self._next = max((self.too_small + self.enough) / 2, self.enough - self._stride * fine)
        if self._held < self.enough:
            self._next = max(self._next, min(self.enough - fine, self._held))
