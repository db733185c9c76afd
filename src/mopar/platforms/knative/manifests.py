"""Manifests of a deployment's functions and of its gateway."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from mopar.bundle import Bundle
from mopar.platforms.endpoints import FUNCTIONS_VARIABLE, Endpoints
from mopar.platforms.images import GATEWAY, REVISION_VARIABLE, revision_of
from mopar.platforms.knative.objects import (
    Capabilities,
    Container,
    ContainerPort,
    DeploymentSpec,
    EnvVar,
    HttpGet,
    KnativeSpec,
    Manifest,
    Metadata,
    PodSpec,
    Probe,
    PullSecret,
    Resources,
    SecurityContext,
    Selector,
    ServicePort,
    ServiceSpec,
    Template,
)
from mopar.platforms.knative.options import KNATIVE, ONE, KubernetesOptions, Replicas
from mopar.platforms.names import DEPLOYMENT_LABEL, FUNCTION_LABEL, member_name
from mopar.platforms.quantities import cpu_quantity, memory_quantity, parse_cpu, parse_memory_mib
from mopar.types import PlatformError

MODEL = "mopar.model"
"""Annotation of the gateway: the model's name, as in a URL."""
LEAST_SCALE = "autoscaling.knative.dev/min-scale"
"""Annotation of a Knative service's pods: how many are always there."""
_PORT, _SERVICE_PORT = 8080, 80
_USER = 65532
"""Any that is not root; images have no files of a user's."""
_REQUEST_S = 300
_STARTED = Probe(http_get=HttpGet(path="/v2/health/ready"), period_seconds=2, failure_threshold=120, timeout_seconds=2)
_READY = Probe(http_get=HttpGet(path="/v2/health/ready"), period_seconds=2, failure_threshold=3, timeout_seconds=2)
_LIVE = Probe(http_get=HttpGet(path="/v2/health/live"), period_seconds=10, failure_threshold=3, timeout_seconds=5)
_MANAGED = {"app.kubernetes.io/managed-by": "mopar"}
_CLUSTER_LOCAL = {"networking.knative.dev/visibility": "cluster-local"}


@dataclass(frozen=True, slots=True)
class Workload:
    """A function, or the gateway, as a cluster is to run it.

    Attributes:
        deployment: that it belongs to.
        function: as the plan names it, or ``GATEWAY``.
        name: as the cluster is to know it.
        image: its reference.
        memory, cpu: limits, as quantities.
        environment: variables of its process.
        replicas: how many are to run.
    """

    deployment: str
    function: str
    name: str
    image: str
    memory: str
    cpu: str
    environment: Mapping[str, str]
    replicas: Replicas = ONE

    @property
    def labels(self) -> dict[str, str]:
        """By which it is found."""
        return {DEPLOYMENT_LABEL: self.deployment, FUNCTION_LABEL: self.function}

    @property
    def revision(self) -> str:
        """What it says that it was deployed as; empty for the gateway."""
        return self.environment.get(REVISION_VARIABLE, "")


def workloads_of(
    bundle: Bundle, deployment: str, images: Mapping[str, str], replicas: Replicas | None
) -> tuple[Workload, ...]:
    """The plan's functions, in its order.

    Args:
        bundle: that they are of.
        deployment: its name.
        images: function -> reference.
        replicas: of each; None for as many as are planned.

    Raises:
        UsageError: a name would be too long.
        PlatformError: two would be the same.
    """
    made = tuple(
        Workload(
            deployment,
            function.name,
            member_name(deployment, function.name),
            images[function.name],
            memory_quantity(function.memory_mib),
            cpu_quantity(function.cpu),
            {REVISION_VARIABLE: revision_of(bundle, function.name, images[function.name])},
            replicas or Replicas(function.replicas, function.replicas),
        )
        for function in bundle.manifest.plan.functions
    )
    if len({workload.name for workload in made} | {member_name(deployment, GATEWAY)}) <= len(made):
        raise PlatformError(f"two functions of {deployment} would have the same name on the platform")
    return made


def function_manifests(workload: Workload, options: KubernetesOptions) -> tuple[Manifest, ...]:
    """A function as a Knative service, or as a Deployment with its Service."""
    if options.kind == KNATIVE:
        return (knative_service(workload, options),)
    return deployment_and_service(workload, options)


def gateway_manifests(
    model: str, deployment: str, images: Mapping[str, str], endpoints: Endpoints, options: KubernetesOptions
) -> tuple[Manifest, ...]:
    """Mopar's gateway for a model as a Deployment with its Service. Raises PlatformError where it has no image."""
    if GATEWAY not in images:
        raise PlatformError(f"there is no image of the gateway: add one as {GATEWAY!r}")
    workload = Workload(
        deployment,
        GATEWAY,
        member_name(deployment, GATEWAY),
        images[GATEWAY],
        memory_quantity(parse_memory_mib(options.gateway_memory, "--gateway-memory")),
        cpu_quantity(parse_cpu(options.gateway_cpu, "--gateway-cpu")),
        {FUNCTIONS_VARIABLE: msgspec.json.encode(endpoints).decode()},
    )
    return deployment_and_service(workload, options, {MODEL: quote(model, safe="")})


def endpoints_in_cluster(workloads: Sequence[Workload], options: KubernetesOptions) -> Endpoints:
    """Where the gateway calls functions."""
    return Endpoints(
        {workload.function: (service_url(workload.name, options),) * workload.replicas.most for workload in workloads},
        ready_s=options.ready_s,
        revisions={workload.function: workload.revision for workload in workloads},
    )


def service_url(name: str, options: KubernetesOptions) -> str:
    """A service's URL inside the cluster."""
    return f"http://{name}.{options.namespace}.svc.{options.cluster_domain}"


def knative_service(workload: Workload, options: KubernetesOptions) -> Manifest:
    """A service of Knative's, which only the cluster reaches."""
    scale = _scale(workload.replicas, LEAST_SCALE, "autoscaling.knative.dev/max-scale")
    metadata = Metadata(
        name=workload.name, namespace=options.namespace, labels={**workload.labels, **_MANAGED, **_CLUSTER_LOCAL}
    )
    pod = PodSpec(
        containers=(_container(workload),),
        image_pull_secrets=_pull_secrets(options),
        enable_service_links=False,
        container_concurrency=1,
        timeout_seconds=_REQUEST_S,
    )
    template = Template(Metadata(labels=workload.labels, annotations=scale), pod)
    return Manifest(api_version="serving.knative.dev/v1", kind="Service", metadata=metadata, spec=KnativeSpec(template))


def cloud_run_service(workload: Workload) -> Manifest:
    """A service of Cloud Run's. Below one CPU it takes one request at a time, as ours do anyway."""
    scale = _scale(workload.replicas, "autoscaling.knative.dev/minScale", "autoscaling.knative.dev/maxScale")
    container = Container(
        name=workload.function,
        image=workload.image,
        ports=(ContainerPort(name="http1", container_port=_PORT),),
        env=_variables(workload),
        resources=Resources(limits={"memory": workload.memory, "cpu": workload.cpu}),
        startup_probe=_STARTED,
        liveness_probe=_LIVE,
    )
    annotations = {
        **scale,
        # Memory of less than 512 MiB is sold with the first generation alone.
        "run.googleapis.com/execution-environment": "gen1",
        "run.googleapis.com/cpu-throttling": "true",  # billed by request
    }
    pod = PodSpec(containers=(container,), container_concurrency=1, timeout_seconds=_REQUEST_S)
    return Manifest(
        api_version="serving.knative.dev/v1",
        kind="Service",
        metadata=Metadata(name=workload.name, labels=_cloud_labels(workload)),
        spec=KnativeSpec(Template(Metadata(labels=_cloud_labels(workload), annotations=annotations), pod)),
    )


def deployment_and_service(
    workload: Workload, options: KubernetesOptions, annotations: Mapping[str, str] | None = None
) -> tuple[Manifest, ...]:
    """Objects of plain Kubernetes."""
    metadata = Metadata(
        name=workload.name,
        namespace=options.namespace,
        labels={**workload.labels, **_MANAGED},
        annotations=dict(annotations or {}),
    )
    pod = PodSpec(
        containers=(_container(workload),),
        image_pull_secrets=_pull_secrets(options),
        automount_service_account_token=False,
        enable_service_links=False,
    )
    spec = DeploymentSpec(
        workload.replicas.least,
        Selector(match_labels=workload.labels),
        Template(Metadata(labels={**workload.labels, **_MANAGED}), pod),
    )
    ports = (ServicePort(name="http", port=_SERVICE_PORT, target_port=_PORT),)
    return (
        Manifest(api_version="apps/v1", kind="Deployment", metadata=metadata, spec=spec),
        Manifest(api_version="v1", kind="Service", metadata=metadata, spec=ServiceSpec(workload.labels, ports)),
    )


def manifests_yaml(manifests: Sequence[Manifest]) -> bytes:
    """A file for ``kubectl apply -f``."""
    return b"---\n".join(msgspec.yaml.encode(manifest, order="sorted") for manifest in manifests)


def _container(workload: Workload) -> Container:
    """Its port is told by ``$PORT``, which Knative sets itself."""
    limits = {"memory": workload.memory, "cpu": workload.cpu}
    return Container(
        name=workload.function,
        image=workload.image,
        ports=(ContainerPort(container_port=_PORT),),
        env=_variables(workload),
        resources=Resources(limits=limits, requests=limits),
        startup_probe=_on_port(_STARTED),
        readiness_probe=_on_port(_READY),
        liveness_probe=_on_port(_LIVE),
        security_context=SecurityContext(
            run_as_non_root=True,
            run_as_user=_USER,
            read_only_root_filesystem=True,
            allow_privilege_escalation=False,
            capabilities=Capabilities(("ALL",)),
        ),
    )


def _on_port(probe: Probe) -> Probe:
    return msgspec.structs.replace(probe, http_get=HttpGet(path=probe.http_get.path, port=_PORT))


def _variables(workload: Workload) -> tuple[EnvVar, ...]:
    return tuple(EnvVar(name, value) for name, value in sorted(workload.environment.items()))


def _scale(replicas: Replicas, least: str, most: str) -> dict[str, str]:
    return {least: str(replicas.least), most: str(replicas.most)}


def _pull_secrets(options: KubernetesOptions) -> tuple[PullSecret, ...]:
    return (PullSecret(options.pull_secret),) if options.pull_secret else ()


def _cloud_labels(workload: Workload) -> dict[str, str]:
    """Cloud Run's labels have no dots."""
    return {key.replace(".", "-"): value for key, value in workload.labels.items()}
