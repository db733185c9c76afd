"""What a deployment consists of: how its gateway serves, and a specification of each container."""

from collections.abc import Mapping

from mopar.bundle import Bundle
from mopar.platforms.container.images.gateway import GatewayPlan
from mopar.platforms.container.images.image import http_command, socket_command
from mopar.platforms.container.images.images import GATEWAY
from mopar.platforms.container.images.paths import PORT, SECRETS, SOCKETS
from mopar.platforms.container.labels import CPU, FUNCTION, MEMORY, URL
from mopar.platforms.container.layout import Layout, replica_name
from mopar.platforms.container.release import ReleasePlan
from mopar.platforms.container.specs import ContainerSpec, Mount
from mopar.platforms.endpoints import Endpoints
from mopar.types import Function

_LOOPBACK = "127.0.0.1"
_LOCAL_NAMES = ("localhost",)


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
        cores=layout.cores.get(function.name, ()),
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
