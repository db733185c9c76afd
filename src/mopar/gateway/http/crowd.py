"""Limits on the number of connections, of all clients and of each."""

import ipaddress
from typing import Protocol

from mopar.gateway.http.messages import HttpLimits

_NETWORK_BITS = 64


class Member(Protocol):
    """An admitted connection."""

    @property
    def idle(self) -> bool:
        """Whether it can be closed without loss."""

    def stop(self) -> None:
        """Close it where it is idle."""


class Crowd:
    """Counts connections by client, so that no client takes all of them.

    Args:
        limits: of all, and of one client.
    """

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._members: dict[Member, str] = {}
        self._clients: dict[str, int] = {}

    def admit(self, member: Member, address: str) -> str | None:
        """Count a new connection. Returns None, or the message for its client where there are too many."""
        client = _client(address)
        own = self._clients.get(client, 0)
        if own >= self._limits.max_client_connections:
            return f"too many connections from {address}: close some, or try again"
        if len(self._members) >= self._limits.max_connections and not self._make_room(own):
            return "too many connections: try again"
        self._members[member] = client
        self._clients[client] = own + 1
        return None

    def leave(self, member: Member) -> None:
        """Remove a connection from the count, if it was admitted."""
        client = self._members.pop(member, None)
        if client is None:
            return
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]

    def _make_room(self, own: int) -> bool:
        """Close the oldest idle connection of the client with the most, if that is more than the new one would have."""
        most = max(self._clients.values(), default=0)
        if most <= own + 1:
            return False
        for member, client in self._members.items():
            if self._clients[client] == most and member.idle:
                self.leave(member)
                member.stop()
                return True
        return False


def _client(address: str) -> str:
    """What counts as one client: an IPv4 address, or the part of an IPv6 address that a network assigns."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(int(parsed) >> (128 - _NETWORK_BITS))
    return str(parsed)
