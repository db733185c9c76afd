"""Options of deployments to OpenFaaS."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from mopar.platforms.images import ImageOptions
from mopar.platforms.quantities import parse_cpu, parse_memory_mib
from mopar.platforms.rest import checked_url
from mopar.types import UsageError

INVOKES = ("gateway", "direct")
_PLACE = "{name}"


@dataclass(frozen=True, slots=True)
class OpenFaasOptions(ImageOptions):
    """What ``mopar deploy --platform openfaas`` takes."""

    gateway: Annotated[str, Meta(description="URL of the OpenFaaS gateway; default: http://127.0.0.1:8080")] = (
        "http://127.0.0.1:8080"
    )
    username: Annotated[str, Meta(description="of its basic authentication; default: admin")] = "admin"
    password_file: Annotated[
        Path | None,
        Meta(description="file with the password; default: $OPENFAAS_PASSWORD, or that of faas-cli login"),
    ] = None
    namespace: Annotated[str, Meta(description="of the functions; default: the platform's own")] = ""
    secret: Annotated[tuple[str, ...], Meta(description="secret of the platform that functions get; repeatable")] = ()
    replicas: Annotated[int, Meta(ge=0, description="of each function; 0, the default, for the plan's")] = 0
    max_functions: Annotated[
        int, Meta(ge=1, description="most functions that the platform takes; default: 15, as the Community Edition")
    ] = 15
    invoke: Annotated[
        str, Meta(description="how functions are called: gateway (by OpenFaaS's, the default), or direct")
    ] = "gateway"
    address: Annotated[str, Meta(description="with direct: a function's URL, {name} for its name")] = (
        "http://{name}.openfaas-fn.svc.cluster.local:8080"
    )
    gateway_function: Annotated[
        bool, Meta(description="deploy mopar's own gateway as a function, too, not in the background here")
    ] = False
    inner_gateway: Annotated[
        str, Meta(description="with --gateway-function: URL of the OpenFaaS gateway as functions reach it")
    ] = "http://gateway.openfaas.svc.cluster.local:8080"
    gateway_memory: Annotated[str, Meta(description="limit of --gateway-function; default: 128Mi")] = "128Mi"
    gateway_cpu: Annotated[str, Meta(description="limit of --gateway-function; default: 1")] = "1"
    host: Annotated[
        str, Meta(description="address that the gateway in the background listens on; default: 127.0.0.1")
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="its port; 0, the default, for any, or the earlier one's")
    ] = 0
    token_file: Annotated[Path | None, Meta(description="file with the token that its requests must send")] = None
    ready_s: Annotated[
        float, Meta(gt=0, le=3600, description="seconds to wait until all functions answer; default: 120")
    ] = 120.0


def check_options(options: OpenFaasOptions) -> OpenFaasOptions:
    """The options, with the gateway's URL in its plain form. Raises UsageError where they do not fit."""
    url = checked_url(options.gateway, "--gateway")
    if options.invoke not in INVOKES:
        raise UsageError(f"--invoke {options.invoke}: choose from {', '.join(INVOKES)}")
    if options.invoke == "direct" and _PLACE not in options.address:
        raise UsageError(f"--address {options.address}: write {_PLACE} where a function's name belongs")
    if options.gateway_function and options.token_file is not None:
        raise UsageError("--token-file is read by the gateway in the background: leave it out with --gateway-function")
    parse_memory_mib(options.gateway_memory, "--gateway-memory")
    parse_cpu(options.gateway_cpu, "--gateway-cpu")
    return replace(options, gateway=url)


def check_calls(options: OpenFaasOptions) -> None:
    """Raise UsageError where mopar's gateway could not call functions."""
    url = called_at(options, "f0")
    if urlsplit(checked_url(url, "--address")).scheme != "http":
        raise UsageError(f"{url}: functions are called by http, not https: see --invoke direct and --address")


def called_at(options: OpenFaasOptions, name: str) -> str:
    """Where mopar's gateway calls a function."""
    if options.invoke == "direct":
        return options.address.replace(_PLACE, name)
    outside = options.inner_gateway if options.gateway_function else options.gateway
    return invoked_at(outside.rstrip("/"), name, options.namespace)


def invoked_at(gateway: str, name: str, namespace: str) -> str:
    """A function's URL behind an OpenFaaS gateway."""
    return f"{gateway}/function/{name}{f'.{namespace}' if namespace else ''}"
