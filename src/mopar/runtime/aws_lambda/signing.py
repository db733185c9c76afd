"""Signature Version 4 of requests to AWS, where S3 is, and the credentials that Lambda gives to functions."""

import hashlib
import hmac
import os
import time

from mopar.runtime.jsontext import parse

_S3, _ALGORITHM = "s3", "AWS4-HMAC-SHA256"
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")
UNSIGNED = "UNSIGNED-PAYLOAD"
"""In place of a body's digest, which would take 5 ms of a CPU per MiB: TLS has its own. S3 alone takes it."""


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
    method: str,
    host: str,
    path: str,
    region: str,
    credentials: Credentials,
    now_s: float | None = None,
    *,
    service: str = _S3,
    query: str = "",
    digest: str = UNSIGNED,
) -> dict[str, str]:
    """The headers of a request, its signature among them.

    Args:
        method: of the request.
        host: as the request names it.
        path: with percent-encoding.
        region: of the service.
        credentials: to sign with.
        now_s: time since the epoch; now by default.
        service: that is asked.
        query: with percent-encoding, its parameters in the order of their names; empty for none.
        digest: of the body, SHA-256 in hexadecimal digits.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    lines = "".join([f"{name}:{value}\n" for name, value in headers.items()])
    names = ";".join(headers)
    signed = path if service == _S3 else quoted_path(path)  # S3 alone takes paths as they are
    request = f"{method}\n{signed}\n{query}\n{lines}\n{names}\n{digest}"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    return headers


def bucket_address(given: str, bucket: str, region: str) -> tuple[bool, str, str]:
    """Where a bucket is: whether TLS is spoken, the host, and what comes before a key.

    Args:
        given: URL of what speaks as S3; empty for Amazon's.
        bucket: its name.
        region: of the bucket.

    Raises:
        ValueError: it is no URL.
    """
    if given:
        scheme, _, rest = given.rstrip("/").partition("://")
        host, slash, path = rest.partition("/")
        if scheme not in {"http", "https"} or not host:
            raise ValueError(f"AWS_ENDPOINT_URL_S3 {given}: write http:// or https:// and a host")
        return scheme == "https", host, f"{slash}{path}/{bucket}"
    domain = f"s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
    # A certificate is for one label before the domain, so a bucket with a dot in its name is part of the path.
    return (True, domain, f"/{bucket}") if "." in bucket else (True, f"{bucket}.{domain}", "")
