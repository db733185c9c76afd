"""Which user of this machine is at the other end of a connection."""

import ipaddress
import socket

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LOCAL, _REMOTE, _USER = 1, 2, 7  # columns (Linux, Documentation/networking/proc_net_tcp.rst)
_Address = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]


def user_of(connection: socket.socket) -> int | None:
    """User id of the process that made a connection; None where it is not of this machine and network namespace.

    Args:
        connection: the accepted end.
    """
    try:
        peer, own = (_address(name) for name in (connection.getpeername(), connection.getsockname()))
    except (OSError, ValueError):
        return None  # it is gone, or not of the Internet's families
    for table in _TABLES:
        try:
            with open(table, encoding="ascii") as lines:  # noqa: PTH123 - pathlib is not loaded here
                next(lines)
                for line in lines:
                    columns = line.split()
                    if _read(columns[_LOCAL]) == peer and _read(columns[_REMOTE]) == own:
                        return int(columns[_USER])
        except OSError:
            continue
    return None


def _address(name: tuple[str, int]) -> _Address:
    return _plain(ipaddress.ip_address(name[0].partition("%")[0])), name[1]


def _read(text: str) -> _Address:
    """An address as the kernel writes it: 32-bit words in the machine's order, then the port."""
    address, _, port = text.partition(":")
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    return _plain(ipaddress.ip_address(b"".join(words))), int(port, 16)


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """IPv4 inside IPv6 as IPv4."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
