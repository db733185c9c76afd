"""Where functions run: Protocols that every platform implements, price books, and a folder for each platform."""

from mopar.platforms.base import HostPlatform


def host_platform() -> HostPlatform:
    """The platform of this machine, on which functions are measured."""
    from mopar.platforms.local.platform import LocalPlatform  # imports sockets and processes: planning needs neither

    return LocalPlatform()
