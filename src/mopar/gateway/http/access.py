"""Which requests are allowed: by their token, and by the site that a browser sends them from or to."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mopar.gateway.token import Token
from mopar.types import RequestError

_OPEN_PATHS = ("/v2/health/live", "/v2/health/ready")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Access:
    """Conditions on a request, checked once its headers have arrived and before its body is read.

    Attributes:
        token: required on all paths but health; None for no token.
        hosts: names allowed in ``Host`` and ``Origin`` beside ``localhost`` and addresses, in lower case; None to
            check neither.
    """

    token: Token | None = None
    hosts: frozenset[str] | None = None

    def check(self, path: str, headers: Mapping[str, str]) -> None:
        """Raise RequestError with 401, 403 or 421 where a request is not allowed."""
        if self.hosts is not None:
            self._check_site(headers, self.hosts)
        if self.token is not None and path not in _OPEN_PATHS and not self.token.admits(headers.get("authorization")):
            raise RequestError("a bearer token is needed: send the header Authorization: Bearer TOKEN", 401)

    def _check_site(self, headers: Mapping[str, str], hosts: frozenset[str]) -> None:
        """Refuse DNS rebinding (another site's name that resolves to this server), and pages of other sites."""
        host = headers.get("host")
        if host is not None:
            name = _name(f"//{host}")
            if name not in hosts and not _is_local_name(name):
                raise RequestError(f"host {host[:200]} is not served here: allow it with --allow-host", 421)
        origin = headers.get("origin")
        if origin is not None and _name(origin) not in hosts and not _same_site(origin, host):
            raise RequestError(f"requests from {origin[:200]} are not served here: allow it with --allow-host", 403)


def access_for(address: str, allowed: Sequence[str], token: Token | None) -> Access:
    """Conditions on requests to a server that listens on an address.

    On loopback ``Host`` and ``Origin`` are always checked: a web page can reach the server only through a browser of
    this machine, which sends them. On other addresses they are checked where names are given.
    """
    checked = bool(allowed) or is_loopback(address)
    return Access(token, frozenset(name.lower().rstrip(".") for name in allowed) if checked else None)


def is_loopback(address: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _name(url: str) -> str | None:
    """The host of a URL, without port; None where there is none."""
    try:
        parts = urlsplit(url)
        if parts.username is not None or parts.port == 0:
            return None
        return (parts.hostname or "").removesuffix(".") or None
    except ValueError:
        return None


def _is_local_name(name: str | None) -> bool:
    """Whether a name is ``localhost`` or an address, which no site can make resolve to anything else."""
    if name is None:
        return False
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_site(origin: str, host: str | None) -> bool:
    """Whether a page comes from this server itself."""
    try:
        page, server = urlsplit(origin), urlsplit(f"//{host}")
        port = _PORTS.get(page.scheme)
        if port is None or host is None:
            return False
        return page.hostname == server.hostname and (page.port or port) == (server.port or port)
    except ValueError:
        return False
