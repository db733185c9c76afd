"""Waiting until a function says over HTTP that it is ready."""

import asyncio
import time
from urllib.parse import urlsplit

_TIMEOUT_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5
_MOST_BYTES = 1 << 12


async def ready_within(url: str, timeout_s: float) -> bool:
    """Whether the function at a base URL is ready before the time is over; asked again with growing pauses."""
    deadline, pause_s = time.monotonic() + timeout_s, _FIRST_PAUSE_S
    while True:
        try:
            async with asyncio.timeout(max(min(_TIMEOUT_S, deadline - time.monotonic()), 0.001)):
                if await _is_ready(url):
                    return True
        except (OSError, TimeoutError):
            pass  # it is not there yet
        if time.monotonic() + pause_s > deadline:
            return False
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _is_ready(url: str) -> bool:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, limit=_MOST_BYTES)
    try:
        path = f"{parts.path.rstrip('/')}/v2/health/ready"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        status = await reader.read(_MOST_BYTES)
        return status.split(b" ", 2)[1:2] == [b"200"]
    finally:
        writer.close()
