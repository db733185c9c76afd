"""Requests to AWS, signed: where its services are, and the heads of requests."""

import os

from mopar.platforms.aws_lambda.credentials import OwnCredentials
from mopar.platforms.http.address import Address, address_in
from mopar.platforms.http.wire import Parts
from mopar.runtime.aws_lambda.signing import UNSIGNED, signed_headers
from mopar.types import DeploymentError, UsageError

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})


def region_of(given: str) -> str:
    """A region, or that of the environment. Raises UsageError where none is named."""
    region = given or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    if not region:
        raise UsageError("no region is named for functions on Lambda: set $AWS_REGION")
    return region


def lambda_address(region: str) -> Address:
    """Where Lambda is asked. Raises UsageError where ``$AWS_ENDPOINT_URL_LAMBDA`` is no URL."""
    given = os.environ.get("AWS_ENDPOINT_URL_LAMBDA") or os.environ.get("AWS_ENDPOINT_URL") or ""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    found = address_in(given or f"https://lambda.{region}.{domain}")
    if found is None:
        raise UsageError(f"$AWS_ENDPOINT_URL_LAMBDA {given}: write https:// and a host")
    return found


class Signer:
    """Writes heads of requests to one service.

    Args:
        service: its name, such as ``lambda``.
        region: that it is asked in.
        credentials: to sign with.
    """

    def __init__(self, service: str, region: str, credentials: OwnCredentials) -> None:
        self.credentials = credentials
        self._service = service
        self._region = region

    def head(self, method: str, address: Address, path: str, parts: Parts = (), *, query: str = "") -> bytes:
        """The head of a request.

        Args:
            method: of the request.
            address: that it is sent to.
            path: with percent-encoding.
            parts: of its body.
            query: with percent-encoding; empty for none.

        Raises:
            DeploymentError: there are no credentials.
        """
        digest = UNSIGNED if self._service == "s3" else _digest(parts)
        headers = signed_headers(
            method,
            address.netloc,
            path,
            self._region,
            self.credentials.current(),
            service=self._service,
            query=query,
            digest=digest,
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        target = f"{path}?{query}" if query else path
        return f"{method} {target} HTTP/1.1\r\n{lines}Content-Length: {sum(map(len, parts))}\r\n\r\n".encode()

    def may_try_again(self, code: str) -> bool:
        """Whether credentials that were refused with this code had expired, and there are others now."""
        try:
            return code in _EXPIRED and self.credentials.renewed()
        except DeploymentError:
            return False


def _digest(parts: Parts) -> str:
    from hashlib import sha256  # with OpenSSL where this process has it

    digest = sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
