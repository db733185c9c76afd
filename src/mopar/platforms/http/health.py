"""Whether a function's server says that it is ready, asked from the gateway's event loop."""

import asyncio
from dataclasses import dataclass

from mopar.platforms.http.address import Address
from mopar.platforms.http.connection import BrokenError, Connection
from mopar.types import DeploymentError

REVISION_HEADER = "mopar-revision"
_MOST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Health:
    """An answer about health; ``revision`` is what the function was deployed as, empty where it does not say."""

    ready: bool
    revision: str = ""


async def health_at(address: Address, timeout_s: float) -> Health:
    """The health of the function at an address; not ready where it does not answer in time."""
    head = f"GET {address.path}/v2/health/ready HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            connection = (await loop.create_connection(Connection, address.host, address.port))[1]
            try:
                reply = await connection.ask(head.encode(), (), _check_length, None)
            finally:
                connection.close()
    except (OSError, TimeoutError, BrokenError, DeploymentError):
        return Health(ready=False)
    return Health(reply.status == 200, reply.headers.get(REVISION_HEADER, ""))


def _check_length(length: int) -> None:
    if length > _MOST_BYTES:
        raise DeploymentError(f"it answers a question for its health with {length} bytes")
