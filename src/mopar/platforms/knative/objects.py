"""Kubernetes objects, as far as they are used here.

Sources: the Kubernetes API reference, https://kubernetes.io/docs/reference/kubernetes-api/; of Knative services the
OpenAPI schema in their CustomResourceDefinition, config/core/300-resources/service.yaml of
https://github.com/knative/serving; for Cloud Run https://cloud.google.com/run/docs/reference/yaml/v1.
"""

import msgspec


class _Object(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Fields that have their default are left out."""


class Metadata(_Object, frozen=True):
    """Of an object, or of the pods that it makes."""

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class EnvVar(msgspec.Struct, frozen=True):
    """A variable of a container's environment."""

    name: str
    value: str


class ContainerPort(_Object, frozen=True):
    """A port that a container listens on."""

    container_port: int
    name: str = ""


class HttpGet(_Object, frozen=True):
    """A request of a probe; without a port it is the container's only one."""

    path: str
    port: int | None = None


class Probe(_Object, frozen=True):
    """Asks a container for its health; it counts as failed after so many answers in a row."""

    http_get: HttpGet
    period_seconds: int
    failure_threshold: int
    timeout_seconds: int


class Resources(_Object, frozen=True):
    """Quantities of ``memory`` and ``cpu`` (``mopar.platforms.quantities``)."""

    limits: dict[str, str]
    requests: dict[str, str] = {}


class Capabilities(msgspec.Struct, frozen=True):
    """Linux capabilities that a container loses."""

    drop: tuple[str, ...]


class SecurityContext(_Object, frozen=True):
    """What a container may do."""

    run_as_non_root: bool
    run_as_user: int
    read_only_root_filesystem: bool
    allow_privilege_escalation: bool
    capabilities: Capabilities


class Container(_Object, frozen=True, kw_only=True):
    """A container of a pod."""

    name: str
    image: str
    ports: tuple[ContainerPort, ...]
    env: tuple[EnvVar, ...]
    resources: Resources
    startup_probe: Probe
    readiness_probe: Probe | None = None
    liveness_probe: Probe
    security_context: SecurityContext | None = None


class PullSecret(msgspec.Struct, frozen=True):
    """A secret with which images are pulled."""

    name: str


class PodSpec(_Object, frozen=True):
    """What a pod runs; ``container_concurrency`` and ``timeout_seconds`` are those of Knative's revisions."""

    containers: tuple[Container, ...]
    image_pull_secrets: tuple[PullSecret, ...] = ()
    automount_service_account_token: bool | None = None
    enable_service_links: bool | None = None
    container_concurrency: int | None = None
    timeout_seconds: int | None = None


class Template(msgspec.Struct, frozen=True):
    """Of pods."""

    metadata: Metadata
    spec: PodSpec


class Selector(_Object, frozen=True):
    """Which pods belong to a Deployment."""

    match_labels: dict[str, str]


class DeploymentSpec(msgspec.Struct, frozen=True):
    """Of a Deployment."""

    replicas: int
    selector: Selector
    template: Template


class ServicePort(_Object, frozen=True):
    """A port of a Service, and the pods' port behind it."""

    port: int
    target_port: int
    name: str = ""


class ServiceSpec(msgspec.Struct, frozen=True):
    """Of a Kubernetes Service."""

    selector: dict[str, str]
    ports: tuple[ServicePort, ...]


class KnativeSpec(msgspec.Struct, frozen=True):
    """Of a Knative service."""

    template: Template


class Manifest(_Object, frozen=True):
    """An object as it is applied."""

    api_version: str
    kind: str
    metadata: Metadata
    spec: DeploymentSpec | ServiceSpec | KnativeSpec

    @property
    def name(self) -> str:
        """As the cluster knows it."""
        return self.metadata.name
