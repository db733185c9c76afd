"""Signature Version 4 of requests to S3, and the credentials that Lambda gives to functions."""

import hashlib
import hmac
import os
import time

from mopar.runtime.jsontext import parse

_SERVICE, _ALGORITHM = "s3", "AWS4-HMAC-SHA256"
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")
UNSIGNED = "UNSIGNED-PAYLOAD"
"""In place of a body's digest, which would take 5 ms of a CPU per MiB: TLS has its own."""


class Credentials:
    """An access key and, of a role, its session's token."""

    __slots__ = ("access_key", "secret_key", "token")

    def __init__(self, access_key: str, secret_key: str, token: str) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token


def own_credentials() -> Credentials:
    """The function's credentials: from its environment, or where it was restored from a snapshot from Lambda's server.

    Raises:
        OSError: there are none.
    """
    variables = os.environ
    if variables.get("AWS_ACCESS_KEY_ID"):
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return Credentials(*[variables.get(name, "") for name in names])
    address = variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if not address:
        raise OSError("the function has no credentials for S3: give it a role")
    from urllib.request import Request, urlopen

    headers = {"Authorization": variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")}
    with urlopen(Request(address, headers=headers), timeout=5.0) as answer:  # noqa: S310 - Lambda names it
        found = parse(answer.read(1 << 16))
    if not isinstance(found, dict):
        raise OSError("the function's credentials are not valid JSON")
    return Credentials(*[str(found.get(name, "")) for name in ("AccessKeyId", "SecretAccessKey", "Token")])


def quoted_path(path: str) -> str:
    """A path with percent-encoding, as S3 signs it: each byte but slashes and unreserved characters."""
    return "".join([chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in path.encode()])


def signed_headers(
    method: str, host: str, path: str, region: str, credentials: Credentials, now_s: float | None = None
) -> dict[str, str]:
    """The headers of a request to S3 without a query, its signature among them.

    Args:
        method: of the request.
        host: as the request names it.
        path: with percent-encoding.
        region: of the bucket.
        credentials: to sign with.
        now_s: time since the epoch; now by default.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    scope = f"{stamp[:8]}/{region}/{_SERVICE}/aws4_request"
    headers = {"host": host, "x-amz-content-sha256": UNSIGNED, "x-amz-date": stamp}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    lines = "".join([f"{name}:{value}\n" for name, value in headers.items()])
    names = ";".join(headers)
    request = f"{method}\n{path}\n\n{lines}\n{names}\n{UNSIGNED}"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    return headers
