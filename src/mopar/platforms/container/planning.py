"""What a deployment consists of: its functions' addresses, and a specification of each container."""

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from mopar.bundle import Bundle
from mopar.platforms.container.engine import ContainerSpec, Mount
from mopar.platforms.container.images.gateway import GatewayPlan
from mopar.platforms.container.images.image import http_command, socket_command
from mopar.platforms.container.images.images import GATEWAY
from mopar.platforms.container.images.paths import PORT, SECRETS, SOCKETS, socket_path
from mopar.platforms.container.labels import CPU, FUNCTION, MEMORY, URL, labels_of
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.container.release import ReleasePlan
from mopar.platforms.endpoints import Endpoints
from mopar.platforms.names import member_name
from mopar.types import Function, PlatformError, UsageError

_LOOPBACK = "127.0.0.1"
_LOCAL_NAMES = ("localhost",)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of a release is.

    Attributes:
        deployment, release, model: names.
        options: of the platform.
        port: that the gateway is published on.
        ports: of each function's replicas, where they share the host's network.
    """

    deployment: str
    release: str
    model: str
    options: ContainerOptions
    port: int
    ports: Mapping[str, tuple[int, ...]]

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
        for function in functions:
            ports[function.name] = tuple(free_port(_LOOPBACK) for _ in range(function.replicas))
    return Layout(deployment, release, bundle.manifest.name, options, port, ports)


def free_port(host: str, port: int = 0) -> int:
    """A port that nobody listens on now.

    Args:
        host: the address.
        port: to check; 0 for any.

    Raises:
        PlatformError: it is taken, or the address is none of this machine.
    """
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
            return int(server.getsockname()[1])
    except OSError as cause:
        if cause.errno == errno.EADDRINUSE:
            raise PlatformError(f"port {port} on {host} is in use: choose another with --port") from cause
        raise PlatformError(f"cannot listen on {host}: {cause.strerror or cause}: choose another --host") from cause


def gateway_plan(layout: Layout, bundle: Bundle) -> GatewayPlan:
    """How the gateway serves."""
    options = layout.options
    functions = {function.name: layout.endpoints(function) for function in bundle.manifest.plan.functions}
    endpoints = Endpoints(functions, "http" if layout.over_http else "socket", options.ready_s)
    plan = GatewayPlan(
        endpoints,
        bundle.manifest.name,
        # Pages of other sites reach an address of this machine alone only by names that resolve to it.
        allow_hosts=_LOCAL_NAMES if options.on_loopback else (),
        has_token=options.token_file is not None,
    )
    if not layout.on_host:
        return plan
    return GatewayPlan(endpoints, plan.name, options.host, layout.port, plan.allow_hosts, plan.has_token)


def release_of(layout: Layout, bundle: Bundle, images: Mapping[str, str]) -> ReleasePlan:
    """Each container of a release as it is to be started.

    Args:
        layout: of the release.
        bundle: what it runs.
        images: of functions and gateway, by their names.
    """
    volume = layout.member("sockets")
    shares_network = layout.over_http and not layout.on_host
    return ReleasePlan(
        labels=layout.labels,
        functions=[
            _function(layout, function, number, bundle.manifest.plan.quota_period_us, images[function.name])
            for function in bundle.manifest.plan.functions
            for number in range(function.replicas)
        ],
        gateway=_gateway(layout, images[GATEWAY]),
        url=layout.url,
        ready_s=layout.options.ready_s,
        volumes=[*([] if layout.over_http else [volume]), *secrets_volumes(layout)],
        network=layout.member("network") if shares_network else None,
    )


def secrets_volumes(layout: Layout) -> list[str]:
    """The volume that holds the token, if there is one."""
    return [layout.member("secrets")] if layout.options.token_file is not None else []


def _function(layout: Layout, function: Function, number: int, period_us: int, image: str) -> ContainerSpec:
    base, name = layout.options.base_image, replica_name(function, number)
    port = layout.ports[function.name][number] if layout.ports else PORT
    limits = {MEMORY: str(function.memory_mib), CPU: f"{function.cpu:g}"}
    network = layout.member("network")
    if not layout.over_http:
        network = "none"
    elif layout.on_host:
        network = "host"
    return ContainerSpec(
        name=layout.member(name),
        image=image,
        labels={**layout.labels, FUNCTION: function.name, **limits},
        network=network,
        alias=name if layout.over_http and not layout.on_host else None,
        command=http_command(base, _LOOPBACK if layout.on_host else "0.0.0.0")  # noqa: S104 - of the container
        if layout.over_http
        else socket_command(function.name, base),
        environment={"PORT": str(port)},
        mounts=() if layout.over_http else (Mount(layout.member("sockets"), SOCKETS),),
        memory_mib=function.memory_mib,
        cpu=function.cpu,
        period_us=period_us,
    )


def _gateway(layout: Layout, image: str) -> ContainerSpec:
    network = layout.member("network") if layout.over_http else None
    mounts = [] if layout.over_http else [Mount(layout.member("sockets"), SOCKETS)]
    mounts += [Mount(volume, SECRETS, read_only=True) for volume in secrets_volumes(layout)]
    return ContainerSpec(
        name=layout.member(GATEWAY),
        image=image,
        labels={**layout.labels, URL: layout.url},
        network="host" if layout.on_host else network,
        publish=None if layout.on_host else f"{layout.address}:{PORT}",
        mounts=mounts,
    )
