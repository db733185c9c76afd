"""Where functions run: Protocols that every platform implements, price books, and a folder for each platform."""

from mopar.platforms.base import HostPlatform


def host_platform() -> HostPlatform:
    """The platform of this machine: what is measured is measured on it."""
    from mopar.platforms.local.platform import LocalPlatform  # with sockets and processes, which planning needs not

    return LocalPlatform()
