"""The functions of a deployment, as OpenFaaS knows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from mopar.bundle import Bundle
from mopar.files import JSON_ERRORS
from mopar.platforms.endpoints import FUNCTIONS_VARIABLE, Endpoints
from mopar.platforms.images import GATEWAY, REVISION_VARIABLE, revision_of
from mopar.platforms.names import DEPLOYMENT_LABEL, FUNCTION_LABEL, member_name
from mopar.platforms.openfaas.options import OpenFaasOptions, called_at
from mopar.platforms.openfaas.wire import FunctionSpec, FunctionStatus, Resources
from mopar.platforms.quantities import cpu_quantity, memory_quantity, parse_cpu, parse_memory_mib
from mopar.types import PlatformError

_REQUEST = "mopar.request"
"""Annotation: what the function was made from, since the platform does not tell its limits again."""
_MODEL = "mopar.model"
"""Annotation of the gateway: the model's name."""
_LEAST, _MOST = "com.openfaas.scale.min", "com.openfaas.scale.max"


@dataclass(frozen=True, slots=True)
class Member:
    """A function of a deployment, or its gateway.

    Attributes:
        function: as the plan names it, or ``GATEWAY``.
        spec: what it is made from.
        revision: what it says that it was deployed as; empty for the gateway.
        replicas: how many are to run.
    """

    function: str
    spec: FunctionSpec
    revision: str
    replicas: int

    @property
    def name(self) -> str:
        """As the platform knows it."""
        return self.spec.service

    @property
    def memory_mib(self) -> int:
        """Its limit."""
        return parse_memory_mib(self.spec.limits.memory, self.name)

    @property
    def cpu(self) -> float:
        """Its limit."""
        return parse_cpu(self.spec.limits.cpu, self.name)


def member_names(bundle: Bundle, deployment: str, options: OpenFaasOptions) -> dict[str, str]:
    """Function, or ``GATEWAY`` -> what the platform is to know it by.

    Raises:
        UsageError: a name would be too long.
        PlatformError: two would be the same.
    """
    functions = [function.name for function in bundle.manifest.plan.functions]
    names = {
        name: member_name(deployment, name) for name in [*functions, *([GATEWAY] if options.gateway_function else [])]
    }
    if len(set(names.values())) < len(functions) + options.gateway_function:
        raise PlatformError(f"two functions of {deployment} would have the same name on the platform")
    return names


def function_members(
    bundle: Bundle, deployment: str, images: Mapping[str, str], options: OpenFaasOptions
) -> tuple[Member, ...]:
    """The plan's functions as members, in its order."""
    names = member_names(bundle, deployment, options)
    members = []
    for function in bundle.manifest.plan.functions:
        image = images[function.name]
        revision = revision_of(bundle, function.name, image)
        replicas = options.replicas or function.replicas
        scale = {_LEAST: str(replicas), _MOST: str(replicas)}
        spec = _spec(
            names[function.name],
            image,
            Resources(memory_quantity(function.memory_mib), cpu_quantity(function.cpu)),
            {REVISION_VARIABLE: revision},
            {DEPLOYMENT_LABEL: deployment, FUNCTION_LABEL: function.name, **scale},
            options,
        )
        members.append(Member(function.name, spec, revision, replicas))
    return tuple(members)


def gateway_member(
    bundle: Bundle, deployment: str, images: Mapping[str, str], endpoints: Endpoints, options: OpenFaasOptions
) -> Member:
    """Mopar's gateway as a function. Raises PlatformError where it has no image."""
    if GATEWAY not in images:
        raise PlatformError(
            f"there is no image of the gateway: add one as {GATEWAY!r}, or leave out --gateway-function"
        )
    spec = _spec(
        member_names(bundle, deployment, options)[GATEWAY],
        images[GATEWAY],
        Resources(
            memory_quantity(parse_memory_mib(options.gateway_memory, "--gateway-memory")),
            cpu_quantity(parse_cpu(options.gateway_cpu, "--gateway-cpu")),
        ),
        {FUNCTIONS_VARIABLE: msgspec.json.encode(endpoints).decode()},
        {DEPLOYMENT_LABEL: deployment, FUNCTION_LABEL: GATEWAY, _LEAST: "1", _MOST: "1"},
        options,
        {_MODEL: quote(bundle.manifest.name, safe="")},
    )
    return Member(GATEWAY, spec, "", 1)


def endpoints_of(members: Sequence[Member], options: OpenFaasOptions) -> Endpoints:
    """Where the gateway calls functions."""
    return Endpoints(
        {member.function: (called_at(options, member.name),) * member.replicas for member in members},
        ready_s=options.ready_s,
        revisions={member.function: member.revision for member in members},
    )


def deployed_members(present: Sequence[FunctionStatus], deployment: str) -> dict[str, FunctionStatus]:
    """The functions of a deployment among those of the platform, by the platform's names, in the plan's order."""
    ours = [status for status in present if status.label(DEPLOYMENT_LABEL) == deployment]
    return {status.name: status for status in sorted(ours, key=_place)}


def spec_of(status: FunctionStatus) -> FunctionSpec:
    """What a function of a deployment was made from. Raises PlatformError where it does not say so."""
    text = status.annotation(_REQUEST)
    try:
        spec = msgspec.json.decode(text, type=FunctionSpec)
    except JSON_ERRORS as cause:
        raise PlatformError(f"function {status.name} has no annotation {_REQUEST}: remove it by hand") from cause
    return msgspec.structs.replace(spec, annotations=status.annotations or {})


def member_of(status: FunctionStatus) -> Member:
    """A function of a deployment. Raises PlatformError as ``spec_of`` does."""
    spec = spec_of(status)
    return Member(
        status.label(FUNCTION_LABEL), spec, spec.env_vars.get(REVISION_VARIABLE, ""), int(spec.labels.get(_LEAST, "1"))
    )


def model_path(status: FunctionStatus) -> str:
    """The path of the model that a gateway serves."""
    return f"/v2/models/{status.annotation(_MODEL)}"


def _spec(
    name: str,
    image: str,
    resources: Resources,
    environment: Mapping[str, str],
    labels: Mapping[str, str],
    options: OpenFaasOptions,
    annotations: Mapping[str, str] | None = None,
) -> FunctionSpec:
    spec = FunctionSpec(
        name,
        image,
        resources,
        resources,
        env_vars=dict(environment),
        labels=dict(labels),
        secrets=options.secret,
        read_only_root_filesystem=True,
    )
    request = msgspec.json.encode(spec).decode()
    return msgspec.structs.replace(spec, annotations={**(annotations or {}), _REQUEST: request})


def _place(status: FunctionStatus) -> tuple[bool, int, str]:
    """``f2`` before ``f10``, and the gateway last."""
    function = status.label(FUNCTION_LABEL)
    return function == GATEWAY, len(function), function
