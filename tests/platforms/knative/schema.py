"""The part of the schema of Knative services that our manifests use, strictly: an unknown field is an error.

Source: the OpenAPI schema of the CustomResourceDefinition in config/core/300-resources/service.yaml of
https://github.com/knative/serving, and https://cloud.google.com/run/docs/reference/yaml/v1 for Cloud Run.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Label = Annotated[str, Meta(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Quantity = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|m|k|M|G)?$")]
Positive = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Strict(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    pass


class Metadata(Strict):
    name: Name | msgspec.UnsetType = msgspec.UNSET
    namespace: Name | msgspec.UnsetType = msgspec.UNSET
    labels: dict[str, Label] = {}
    annotations: dict[str, str] = {}


class Variable(Strict):
    name: Annotated[str, Meta(pattern=r"^[A-Z_]+$")]
    value: str


class ContainerPort(Strict):
    container_port: Port
    name: Annotated[str, Meta(pattern="^(http1|h2c)$")] = "http1"


class HttpGet(Strict):
    path: Annotated[str, Meta(pattern="^/")]
    port: Port | msgspec.UnsetType = msgspec.UNSET


class Probe(Strict):
    http_get: HttpGet
    period_seconds: Positive
    failure_threshold: Positive
    timeout_seconds: Positive


class Resources(Strict):
    limits: dict[str, Quantity]
    requests: dict[str, Quantity] | msgspec.UnsetType = msgspec.UNSET


class Capabilities(Strict):
    drop: list[str]


class SecurityContext(Strict):
    run_as_non_root: bool
    run_as_user: Positive
    read_only_root_filesystem: bool
    allow_privilege_escalation: bool
    capabilities: Capabilities


class Container(Strict):
    name: Name
    image: str
    ports: Annotated[list[ContainerPort], Meta(min_length=1, max_length=1)]
    env: list[Variable]
    resources: Resources
    startup_probe: Probe
    liveness_probe: Probe
    readiness_probe: Probe | msgspec.UnsetType = msgspec.UNSET
    security_context: SecurityContext | msgspec.UnsetType = msgspec.UNSET


class PullSecret(Strict):
    name: Name


class RevisionSpec(Strict):
    containers: Annotated[list[Container], Meta(min_length=1, max_length=1)]
    container_concurrency: Annotated[int, Meta(ge=0, le=1000)]
    timeout_seconds: Annotated[int, Meta(ge=1, le=3600)]
    image_pull_secrets: list[PullSecret] = []
    enable_service_links: bool | msgspec.UnsetType = msgspec.UNSET


class Template(Strict):
    metadata: Metadata
    spec: RevisionSpec


class ServiceSpec(Strict):
    template: Template


class Service(Strict):
    api_version: Annotated[str, Meta(pattern=r"^serving\.knative\.dev/v1$")]
    kind: Annotated[str, Meta(pattern="^Service$")]
    metadata: Metadata
    spec: ServiceSpec
