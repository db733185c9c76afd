"""Where everything of a release is: names, addresses, ports and cores."""

import contextlib
import errno
import itertools
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from mopar.bundle import Bundle
from mopar.platforms.container.images.paths import PORT, socket_path
from mopar.platforms.container.labels import labels_of
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.local.cores import cores_of_parts
from mopar.platforms.names import member_name
from mopar.types import Function, PlatformError, UsageError

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of a release is.

    Attributes:
        deployment, release, model: names.
        options: of the platform.
        port: that the gateway is published on.
        ports: of each function's replicas, where they share the host's network.
        cores: of functions that keep to some.
    """

    deployment: str
    release: str
    model: str
    options: ContainerOptions
    port: int
    ports: Mapping[str, tuple[int, ...]]
    cores: Mapping[str, tuple[int, ...]]

    @property
    def over_http(self) -> bool:
        """Whether functions are called over HTTP."""
        return self.options.transport == "http"

    @property
    def on_host(self) -> bool:
        """Whether containers share the host's network."""
        return self.options.network == "host"

    @property
    def labels(self) -> dict[str, str]:
        """Of all that belongs to the release."""
        return labels_of(self.deployment, self.release)

    @property
    def address(self) -> str:
        """That the gateway is published on, as it is written in URLs."""
        host = self.options.host
        return f"{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def url(self) -> str:
        """Where the model answers."""
        return f"http://{self.address}/v2/models/{self.model}"

    def member(self, name: str) -> str:
        """A container's name."""
        return member_name(f"{self.deployment}-{self.release}", name)

    def endpoints(self, function: Function) -> tuple[str, ...]:
        """Where the gateway finds a function's replicas."""
        if not self.over_http:
            return (socket_path(function.name),)
        if self.on_host:
            return tuple(f"http://{_LOOPBACK}:{port}" for port in self.ports[function.name])
        return tuple(f"http://{replica_name(function, number)}:{PORT}" for number in range(function.replicas))


def replica_name(function: Function, number: int) -> str:
    """The name of one of a function's replicas: the function's own for the first."""
    name = function.name.lower()
    return name if number == 0 else f"{name}-r{number + 1}"


def layout_of(deployment: str, release: str, bundle: Bundle, options: ContainerOptions, port: int) -> Layout:
    """The layout of a release.

    Raises:
        UsageError: the transport calls no replicas.
        PlatformError: a port cannot be had.
    """
    ports: dict[str, tuple[int, ...]] = {}
    functions = bundle.manifest.plan.functions
    several = next((function for function in functions if function.replicas > 1), None)
    if several is not None and options.transport != "http":
        raise UsageError(f"function {several.name} has {several.replicas} replicas: add --transport http")
    if options.transport == "http" and options.network == "host":
        free = iter(free_ports(_LOOPBACK, sum(function.replicas for function in functions)))
        ports = {function.name: tuple(itertools.islice(free, function.replicas)) for function in functions}
    cores = cores_of_parts(bundle.manifest.plan, os.sched_getaffinity(0))
    return Layout(deployment, release, bundle.manifest.name, options, port, ports, cores)


def free_ports(host: str, count: int) -> list[int]:
    """Ports that nobody listens on now, all different. Raises PlatformError: the address is none of this machine."""
    with contextlib.ExitStack() as held:
        return [held.enter_context(_listening(host, 0)).getsockname()[1] for _ in range(count)]


def check_port(host: str, port: int) -> None:
    """Raise PlatformError where a port is taken, or the address is none of this machine."""
    _listening(host, port).close()


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as cause:
        if cause.errno == errno.EADDRINUSE:
            raise PlatformError(f"port {port} on {host} is in use: choose another with --port") from cause
        raise PlatformError(f"cannot listen on {host}: {cause.strerror or cause}: choose another --host") from cause
