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
    """

    host: str
    port: int
    netloc: str
    path: str


def address_of(url: str) -> Address:
    """The address in ``http://HOST:PORT``, optionally with a path. Raises UsageError where it is none."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname and parts.username is None and not parts.query:
            return Address(parts.hostname, parts.port or 80, parts.netloc, parts.path.rstrip("/"))
    raise UsageError(f"{url} is no URL of a function: write http://HOST:PORT")
