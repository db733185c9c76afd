"""Options of packages and deployments for Kubernetes and for Cloud Run."""

import re
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from mopar.platforms.images import ImageOptions
from mopar.platforms.quantities import parse_cpu, parse_memory_mib
from mopar.types import UsageError

KNATIVE, DEPLOYMENT = "knative", "deployment"
KINDS = (KNATIVE, DEPLOYMENT)
_PLACE = "{name}"
_REPLICAS = re.compile(r"([0-9]{1,4})(?:\.\.([0-9]{1,4}))?")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many a function may have: ``least`` always, ``most`` under load."""

    least: int
    most: int


ONE = Replicas(1, 1)


@dataclass(frozen=True, slots=True)
class ReplicatedOptions(ImageOptions):
    """Which images are used, and how many run of each."""

    replicas: Annotated[
        str, Meta(description="of each function: 2, or 0..5 where the platform scales; default: the plan's")
    ] = ""


@dataclass(frozen=True, slots=True)
class CloudRunOptions(ReplicatedOptions):
    """What ``--platform cloud-run`` takes."""

    address: Annotated[
        str,
        Meta(description="package: write functions.json for mopar serve; URL of a function, with {name} for its name"),
    ] = ""


@dataclass(frozen=True, slots=True)
class KubernetesOptions(ReplicatedOptions):
    """What ``--platform knative`` takes."""

    context: Annotated[str, Meta(description="of the kubeconfig; default: its current one")] = ""
    namespace: Annotated[str, Meta(description="of all objects; default: default")] = "default"
    kind: Annotated[
        str, Meta(description="functions are Knative services (knative, the default) or plain Deployments (deployment)")
    ] = KNATIVE
    pull_secret: Annotated[str, Meta(description="the namespace's secret that images are pulled with")] = ""
    cluster_domain: Annotated[str, Meta(description="the cluster's DNS domain; default: cluster.local")] = (
        "cluster.local"
    )
    gateway_memory: Annotated[str, Meta(description="limit of the gateway; default: 128Mi")] = "128Mi"
    gateway_cpu: Annotated[str, Meta(description="limit of the gateway; default: 1")] = "1"
    ready_s: Annotated[
        float, Meta(gt=0, le=3600, description="seconds to wait until all objects are ready; default: 300")
    ] = 300.0


def check_kubernetes(options: KubernetesOptions) -> None:
    """Raise UsageError where options do not fit each other."""
    if options.kind not in KINDS:
        raise UsageError(f"--kind {options.kind}: choose from {', '.join(KINDS)}")
    if not _NAMESPACE.fullmatch(options.namespace):
        raise UsageError(f"--namespace {options.namespace}: write up to 63 lower-case letters, digits and hyphens")
    replicas = replicas_of(options)
    if options.kind == DEPLOYMENT and replicas is not None and (replicas.least != replicas.most or not replicas.least):
        raise UsageError(f"--replicas {options.replicas}: a deployment does not scale: write one number of at least 1")
    parse_memory_mib(options.gateway_memory, "--gateway-memory")
    parse_cpu(options.gateway_cpu, "--gateway-cpu")


def check_cloud_run_options(options: CloudRunOptions) -> None:
    """Raise UsageError where options do not fit each other."""
    replicas_of(options)
    if options.address and _PLACE not in options.address:
        raise UsageError(f"--address {options.address}: write {_PLACE} where a function's name belongs")


def replicas_of(options: ReplicatedOptions) -> Replicas | None:
    """``3`` is always 3; ``0..3`` up to 3; None where nothing was asked for. Raises UsageError."""
    if not options.replicas:
        return None
    found = _REPLICAS.fullmatch(options.replicas)
    if found is not None:
        least = int(found[1])
        most = least if found[2] is None else int(found[2])
        if most and least <= most:
            return Replicas(least, most)
    raise UsageError(f"--replicas {options.replicas}: write a number, such as 2, or a range, such as 0..5")


def address_of_function(options: CloudRunOptions, name: str) -> str:
    """Where a gateway calls a function."""
    return options.address.replace(_PLACE, name)
