"""Objects of a bucket as the gateway puts, gets and deletes them, on connections of its event loop."""

import asyncio
import os
import secrets
import time
from collections.abc import Sequence

from mopar.platforms.aws_lambda.credentials import OwnCredentials
from mopar.platforms.aws_lambda.errors import one_line
from mopar.platforms.aws_lambda.signed import Signer
from mopar.platforms.endpoints import AwsPlace
from mopar.platforms.http.address import Address
from mopar.platforms.http.connection import Admit, BrokenError, Reply
from mopar.platforms.http.pool import Connections
from mopar.platforms.http.wire import LaterError
from mopar.runtime.aws_lambda.signing import bucket_address, quoted_path
from mopar.types import DeploymentError, OverloadedError, UsageError

_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_TRIES, _PAUSE_S = 4, 0.1
_DELETE_S = 20.0
_MOST_UNANNOUNCED_BYTES = 64 << 10
"""Of an error: objects have a length."""


class TensorStore:
    """A bucket.

    Args:
        place: names it.
        region: that it is in.
        credentials: to sign with.

    Raises:
        UsageError: the address of S3 is none.
    """

    def __init__(self, place: AwsPlace, region: str, credentials: OwnCredentials) -> None:
        self.bucket = place.bucket
        self._prefix = place.prefix
        given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        try:
            tls, host, self._root = bucket_address(given, place.bucket, region)
        except ValueError as cause:
            raise UsageError(str(cause)) from cause
        name, _, port = host.partition(":")
        address = Address(name, int(port) if port.isdecimal() else 443 if tls else 80, host, self._root, tls)
        self._signer = Signer("s3", region, credentials)
        self._connections = Connections(address, None, _MOST_UNANNOUNCED_BYTES)
        self._deleting: set[asyncio.Task[None]] = set()

    def new_prefix(self) -> str:
        """Before the keys of one request's objects."""
        return f"{self._prefix}{secrets.token_hex(12)}/"

    async def put(self, key: str, data: memoryview, deadline: float) -> None:
        """Write an object. Raises DeploymentError, OverloadedError."""
        await self._asked("PUT", key, [data], _anything, deadline)

    async def get(self, key: str, admit: Admit, deadline: float) -> memoryview:
        """Read an object; ``admit`` is called with its size. Raises DeploymentError, OverloadedError."""
        return (await self._asked("GET", key, (), admit, deadline)).body

    def delete_soon(self, keys: Sequence[str]) -> None:
        """Delete objects in the background; what stays there expires."""
        task = asyncio.create_task(self._delete(keys))
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)

    async def deleted(self) -> None:
        """Wait until all is deleted."""
        while self._deleting:
            await asyncio.wait(self._deleting)

    async def close(self) -> None:
        """Wait until all is deleted, and close the connections."""
        await self.deleted()
        self._connections.close()

    async def _delete(self, keys: Sequence[str]) -> None:
        deadline = time.monotonic() + _DELETE_S
        for key in keys:
            try:
                await self._asked("DELETE", key, (), _anything, deadline)
            except (DeploymentError, OverloadedError):  # no right to, or no network: the bucket's rule expires them
                return

    async def _asked(
        self, method: str, key: str, parts: Sequence[bytes | memoryview], admit: Admit, deadline: float
    ) -> Reply:
        """S3's answer; what may be over in a moment is tried again."""
        reason = ""
        for attempt in range(_TRIES):
            pause_s = _PAUSE_S * (2**attempt - 1)
            if time.monotonic() + pause_s > deadline:
                break
            await asyncio.sleep(pause_s)
            try:
                head = self._signer.head(method, self._connections.address, quoted_path(f"{self._root}/{key}"), parts)
                reply = await self._connections.ask(head, parts, admit, deadline)
            except (LaterError, BrokenError) as error:
                reason = str(error)
                continue
            except TimeoutError as cause:
                raise self._error(method, key, "no answer before the deadline") from cause
            if reply.status in {200, 204}:
                return reply
            code = _code_of(reply)
            reason = f"{reply.status} {code}".strip()
            if reply.status not in _AGAIN and not self._signer.may_try_again(code):
                break
        raise self._error(method, key, reason or "the deadline passed")

    def _error(self, method: str, key: str, reason: str) -> DeploymentError:
        hint = {"403": ": have the right allowed, or get new credentials", "404": ": there is none"}.get(reason[:3], "")
        return DeploymentError(f"S3 does not {method} object {key} of bucket {self.bucket}: {reason}{hint}")


def _code_of(reply: Reply) -> str:
    """What S3 calls an error."""
    text = bytes(reply.body[:4096]).decode(errors="replace")
    return one_line(text.partition("<Code>")[2].partition("</Code>")[0])


def _anything(_length: int) -> None:
    """Of answers without a body."""
