"""Emulates a network between gateway and functions, for measurements."""

import asyncio
from collections.abc import Callable, Sequence

from mopar.platforms.base import Network

_CHUNK_BYTES = 1 << 16
"""Bytes sent at a time: few, so that transfers at the same time share the bandwidth."""


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
        await self._delay()
        for part in parts:
            view = memoryview(part)
            for start in range(0, len(view), _CHUNK_BYTES):
                chunk = view[start : start + _CHUNK_BYTES]
                await self._take(len(chunk))
                if not write(chunk):
                    return False
        return True

    async def pass_by(self, nbytes: int) -> None:
        """Wait for as long as the network would have needed for bytes that have arrived already."""
        await self._delay()
        for start in range(0, nbytes, _CHUNK_BYTES):
            await self._take(min(_CHUNK_BYTES, nbytes - start))

    async def _delay(self) -> None:
        if self._delay_s:
            await asyncio.sleep(self._delay_s)

    async def _take(self, nbytes: int) -> None:
        """Wait until the network has transferred so many bytes, after those of earlier calls."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + nbytes * self._s_per_byte
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)
