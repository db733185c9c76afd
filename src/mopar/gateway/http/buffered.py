"""The bytes of all bodies that a server holds."""

from mopar.gateway.http.aside import Aside

_LARGE_BYTES = 256 << 10
"""After bodies from this size on, freed memory is returned to the kernel."""


class Buffered:
    """Counts the bytes of bodies of all connections against one limit.

    Args:
        limit: bytes.
        aside: where freed memory is returned.
    """

    def __init__(self, limit: int, aside: Aside) -> None:
        self._limit, self._aside = limit, aside
        self._held = 0

    def take(self, count: int) -> bool:
        """Claim bytes; False where there are none left."""
        if self._held + count > self._limit:
            return False
        self._held += count
        return True

    def give(self, count: int) -> None:
        """Return bytes."""
        self._held -= count
        if count >= _LARGE_BYTES:
            self._aside.trim_soon()
