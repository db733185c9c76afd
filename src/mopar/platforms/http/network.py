"""Emulates a network between gateway and functions, for measurements."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from mopar.types import Network

_CHUNK_BYTES = 1 << 16
"""Bytes sent at a time: few, so that transfers at the same time share the bandwidth."""
_TIMER_S = 2e-3
"""By how much the event loop's timers may be off: they count whole milliseconds."""


class Direction:
    """One direction of a network, emulated.

    Only bodies are counted, JSON included: heads and acknowledgements are not.

    Args:
        network: what to emulate.
    """

    def __init__(self, network: Network) -> None:
        self._delay_s = network.rtt_ms / 2e3
        self._s_per_byte = 0.0 if network.bandwidth_mbit is None else 8e-6 / network.bandwidth_mbit
        self._free_at = 0.0

    async def send(self, parts: Sequence[bytes | memoryview], write: Callable[[bytes | memoryview], bool]) -> bool:
        """Write parts at the network's speed. Where ``write`` returns False, stop and return False, otherwise True."""
        began = await self._begin()
        left = sum(map(len, parts))
        for chunk in _chunks(parts):
            left -= len(chunk)
            await self._take(len(chunk), began, last=not left)
            if not write(chunk):
                return False
        return True

    async def pass_by(self, nbytes: int) -> None:
        """Wait for as long as the network would have needed for bytes that have arrived already."""
        began = await self._begin()
        for start in range(0, nbytes, _CHUNK_BYTES):
            await self._take(min(_CHUNK_BYTES, nbytes - start), began, last=start + _CHUNK_BYTES >= nbytes)

    async def _begin(self) -> float:
        """Wait for a transfer's first byte; returns when it was due."""
        began = time.monotonic() + self._delay_s
        await _until(began)
        return began

    async def _take(self, nbytes: int, began: float, *, last: bool) -> None:
        """Wait until the network has transferred so many bytes, after those of earlier calls.

        Args:
            nbytes: of a transfer.
            began: when the transfer did; its bytes have waited since then, so that a late timer costs them nothing.
            last: whether they are the transfer's last, which alone have to be in time.
        """
        self._free_at = max(self._free_at, began) + nbytes * self._s_per_byte
        if last:
            await _until(self._free_at)
        else:
            await asyncio.sleep(max(self._free_at - time.monotonic(), 0.0))


def _chunks(parts: Sequence[bytes | memoryview]) -> Iterator[memoryview]:
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), _CHUNK_BYTES):
            yield view[start : start + _CHUNK_BYTES]


async def _until(when: float) -> None:
    """Wait until a moment of ``time.monotonic``: by a timer while that is far away, then by looking at the clock."""
    while (left := when - time.monotonic()) > 0:  # noqa: ASYNC110 - there is no event but the time
        await asyncio.sleep(max(left - _TIMER_S, 0.0))
