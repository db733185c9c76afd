"""URLs of functions, taken apart."""

import contextlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from mopar.types import UsageError


@dataclass(frozen=True, slots=True)
class Address:
    """Where a function is called.

    Attributes:
        host, port: to connect to.
        netloc: the value of the header ``Host``.
        path: before the protocol's own paths, such as ``/function/f0`` behind a platform's gateway; empty for none.
        tls: whether the connection is encrypted.
    """

    host: str
    port: int
    netloc: str
    path: str
    tls: bool = False


def address_of(url: str) -> Address:
    """The address in ``http://HOST:PORT``, optionally with a path. Raises UsageError where it is none."""
    found = address_in(url)
    if found is None or found.tls:
        raise UsageError(f"{url} is no URL of a function: write http://HOST:PORT")
    return found


def address_in(url: str) -> Address | None:
    """The address in a URL of ``http`` or ``https``, optionally with a path; None where it is none."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        plain = parts.hostname and parts.username is None and not parts.query
        if parts.scheme in {"http", "https"} and plain:
            tls = parts.scheme == "https"
            return Address(
                parts.hostname or "", parts.port or (443 if tls else 80), parts.netloc, parts.path.rstrip("/"), tls
            )
    return None
