"""The gateway's own layer: the manifest, how to serve it, and where the functions are."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mopar.bundle import Bundle
from mopar.files import to_json
from mopar.platforms.container.images.layers import Layer, place, settle
from mopar.platforms.container.images.paths import ENDPOINTS, GATEWAY, JOB, PORT, TOKEN
from mopar.platforms.endpoints import Endpoints


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """How a bundle is served from a container.

    Attributes:
        endpoints: of its functions, as the gateway reaches them.
        name: of the model.
        host, port: to listen on, inside the container's network.
        allow_hosts: host names that requests may use; empty to check none.
        has_token: whether requests need the token that is mounted.
    """

    endpoints: Endpoints
    name: str
    host: str = "0.0.0.0"  # noqa: S104 - of the container; the engine publishes it where the user says
    port: int = PORT
    allow_hosts: tuple[str, ...] = ()
    has_token: bool = False


def gateway_layer(bundle: Bundle, plan: GatewayPlan) -> Layer:
    """What the gateway is told, as files."""
    files = {JOB: _job(bundle, plan), ENDPOINTS: to_json(plan.endpoints)}

    def write(into: Path) -> None:
        into.mkdir()
        for target, data in files.items():
            place(into, target, data)
        settle(into)

    digest = hashlib.sha256(b"\0".join(files.values())).hexdigest()
    return Layer("gateway", digest, sum(map(len, files.values())), write)


def _job(bundle: Bundle, plan: GatewayPlan) -> bytes:
    """The document that ``mopar.cli.gateway`` reads (``ServeJob``)."""
    options: Mapping[str, object] = {
        "host": plan.host,
        "port": plan.port,
        "name": plan.name,
        "allow_hosts": plan.allow_hosts,
        "token_file": TOKEN if plan.has_token else None,
        "functions": ENDPOINTS,
    }
    served = {"root": GATEWAY, "manifest": bundle.manifest}
    job = {"bundle": served, "options": options, "as_json": False, "quiet": False, "with_parent": False}
    return msgspec.json.encode(job)
