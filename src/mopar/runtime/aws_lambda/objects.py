"""Objects of S3, or of what speaks as it: read into memory or a file, written, and deleted.

Only functions that use a store import this: with HTTP, TLS and digests it takes 10 MiB.
"""

import hashlib
import http.client
import os
import time

from mopar.runtime.aws_lambda.signing import bucket_address, own_credentials, quoted_path, signed_headers
from mopar.runtime.request import RefusedError

TYPE_CHECKING = False  # typing and collections cost memory
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, TypeVar

    Taken = TypeVar("Taken")

_TIMEOUT_S = 20.0
_TRIES, _PAUSE_S = 4, 0.1
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
_PIECE_BYTES = 256 << 10
_MOST_ERROR_BYTES = 4096
_REASONS = {403: "the function's role has no right to it", 404: "there is none", 416: "it ends before"}


class StoreError(OSError):
    """S3 does not give or take an object; the message is one line."""


class ObjectStore:
    """A bucket, by the region, the credentials and the address of S3 in the environment.

    Args:
        bucket: its name.

    Raises:
        StoreError: the address of S3 is none.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        try:
            self._tls, self._host, self._root = bucket_address(given, bucket, self._region)
        except ValueError as cause:
            raise StoreError(str(cause)) from cause
        self._connection: http.client.HTTPConnection | None = None

    def get(self, key: str, most_bytes: int) -> bytes:
        """An object of ``most_bytes`` at most. Raises RefusedError, StoreError."""

        def take(answer: http.client.HTTPResponse, nbytes: int) -> bytes:
            if nbytes > most_bytes:
                raise RefusedError(413, f"object {key} has {nbytes} bytes: the limit is {most_bytes}")
            data = answer.read()
            if len(data) != nbytes:
                raise StoreError(f"object {key} ends before its length")
            return data

        return self._fetched(key, take)

    def get_into(self, key: str, place: memoryview, offset: "int | None" = None) -> None:
        """Read an object into memory of its size, or what begins at an offset. Raises RefusedError, StoreError."""

        def take(answer: http.client.HTTPResponse, nbytes: int) -> None:
            if nbytes != len(place):
                raise RefusedError(400, f"object {key} has {nbytes} bytes, its shape needs {len(place)}")
            at = 0
            while at < nbytes:
                at += _received(key, answer, place[at:])
            answer.read()  # its end

        if offset is None or len(place) > 0:
            self._fetched(key, take, None if offset is None else (offset, offset + len(place) - 1))

    def download(self, key: str, file: "BinaryIO", nbytes: int, sha256: str) -> None:
        """Write an object of a known size and digest to a file. Raises RefusedError, StoreError, OSError."""

        def take(answer: http.client.HTTPResponse, there: int) -> str:
            if there != nbytes:
                raise StoreError(f"object {key} has {there} bytes in place of {nbytes}")
            digest = hashlib.sha256()
            piece = memoryview(bytearray(_PIECE_BYTES))
            left = nbytes
            while left:
                count = _received(key, answer, piece[: min(left, _PIECE_BYTES)])
                digest.update(piece[:count])
                file.write(piece[:count])
                left -= count
            answer.read()  # its end
            return digest.hexdigest()

        if self._fetched(key, take) != sha256:
            raise StoreError(f"object {key} has another content than the package was made with")

    def put(self, key: str, data: "memoryview | bytes") -> None:
        """Write an object. Raises StoreError."""
        self._answered("PUT", key, data).read()

    def delete(self, key: str) -> None:
        """Delete an object, which may not be there. Raises StoreError."""
        self._answered("DELETE", key).read()

    def _fetched(
        self,
        key: str,
        take: "Callable[[http.client.HTTPResponse, int], Taken]",
        part: "tuple[int, int] | None" = None,
    ) -> "Taken":
        """What ``take`` makes of an object's data and length, or of those from one byte to another."""
        answer = self._answered("GET", key, None, {} if part is None else {"range": f"bytes={part[0]}-{part[1]}"})
        try:
            if answer.length is None:
                raise StoreError(f"S3 does not say how long object {key} is")  # noqa: TRY301 - and close it below
            return take(answer, answer.length)
        except http.client.HTTPException as cause:
            self.close()
            raise StoreError(f"object {key}: {cause}") from cause
        except BaseException:
            self.close()  # data that were not read would be taken for the next answer
            raise

    def _answered(
        self,
        method: str,
        key: str,
        data: "memoryview | bytes | None" = None,
        more: "dict[str, str] | None" = None,
    ) -> http.client.HTTPResponse:
        """S3's answer to a request; what may be over in a moment is tried again."""
        reason = ""
        for attempt in range(_TRIES):
            time.sleep(_PAUSE_S * (2**attempt - 1))
            try:
                answer = self._asked(method, key, data, more or {})
            except (OSError, http.client.HTTPException) as cause:
                self.close()  # it may have been closed while the function was frozen
                reason = str(cause) or type(cause).__name__
                continue
            if answer.status in {200, 204, 206}:
                return answer
            reason = f"{answer.status} {_code_of(answer)}"
            self.close()
            if answer.status not in _AGAIN:
                break
        raise StoreError(f"S3 does not {method} object {key} of bucket {self._bucket}: {reason}")

    def _asked(
        self, method: str, key: str, data: "memoryview | bytes | None", more: "dict[str, str]"
    ) -> http.client.HTTPResponse:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
            self._connection = kind(self._host, timeout=_TIMEOUT_S)
        path = quoted_path(f"{self._root}/{key}")
        headers = signed_headers(method, self._host, path, self._region, own_credentials()) | more
        if data is not None:
            headers["content-length"] = str(len(data))
        self._connection.request(method, path, data, headers)
        return self._connection.getresponse()

    def close(self) -> None:
        """Close the connection; the next request makes another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _received(key: str, answer: http.client.HTTPResponse, place: memoryview) -> int:
    count = answer.readinto(place)
    if not count:
        raise StoreError(f"object {key} ends before its length")
    return count


def _code_of(answer: http.client.HTTPResponse) -> str:
    """What S3 calls an error: the name in its XML, or what the status means."""
    text = answer.read(_MOST_ERROR_BYTES).decode("utf-8", "replace")
    name = text.partition("<Code>")[2].partition("</Code>")[0]
    return ": ".join([part for part in (name, _REASONS.get(answer.status, "")) if part])
