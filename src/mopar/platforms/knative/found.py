"""A deployment as its objects tell of it."""

import time
from collections.abc import Mapping

import msgspec

from mopar.platforms.images import GATEWAY
from mopar.platforms.knative.live import Live, Reference, missing
from mopar.platforms.knative.manifests import LEAST_SCALE, MODEL, service_url
from mopar.platforms.knative.objects import Template
from mopar.platforms.knative.options import KubernetesOptions
from mopar.platforms.names import FUNCTION_LABEL, member_name
from mopar.platforms.quantities import parse_cpu, parse_memory_mib
from mopar.types.deployed import Deployed, DeployedFunction, GatewayAddress


class _Spec(msgspec.Struct):
    template: Template | None = None


class _Made(msgspec.Struct):
    """What an object was made from; those without pods have no template."""

    spec: _Spec


def deployed_of(name: str, objects: Mapping[Reference, Live], options: KubernetesOptions, began: float) -> Deployed:
    """The deployment that some objects make up; it is ready where all of them are.

    Args:
        name: of the deployment.
        objects: all of them.
        options: of the platform.
        began: when the verb did, on the clock of ``time.monotonic``.
    """
    functions, model = [], ""
    for reference, live in sorted(objects.items(), key=_place):
        if live.label(FUNCTION_LABEL) == GATEWAY:
            model = live.metadata.annotations.get(MODEL, model)
            continue
        template = msgspec.json.decode(live.request, type=_Made).spec.template
        if template is not None:
            functions.append(_function(reference, live, template, options))
    url = f"{service_url(member_name(name, GATEWAY), options)}/v2/models/{model}"
    ready = bool(model) and not any(missing(reference, live) for reference, live in objects.items())
    gateway = GatewayAddress(url) if model else None
    return Deployed("knative", name, ready, gateway, tuple(functions), round(time.monotonic() - began, 3))


def _function(reference: Reference, live: Live, template: Template, options: KubernetesOptions) -> DeployedFunction:
    """Knative does not tell how many pods there are; as many as are always there count."""
    limits = template.spec.containers[0].resources.limits
    always = int(template.metadata.annotations.get(LEAST_SCALE, "0"))
    return DeployedFunction(
        live.label(FUNCTION_LABEL),
        service_url(reference.name, options),
        parse_memory_mib(limits["memory"], reference.name),
        parse_cpu(limits["cpu"], reference.name),
        live.status.available_replicas or always,
        not missing(reference, live),
    )


def _place(item: tuple[Reference, Live]) -> tuple[int, str]:
    """``f2`` before ``f10``."""
    function = item[1].label(FUNCTION_LABEL)
    return len(function), function
