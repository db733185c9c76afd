"""Bundles as manifests: for Kubernetes with or without Knative, and for Cloud Run."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mopar.bundle import Bundle
from mopar.files import to_json
from mopar.platforms.deploying import Tell
from mopar.platforms.endpoints import Endpoints
from mopar.platforms.images import GATEWAY, ImageBuilder, ImageOptions, chosen_images
from mopar.platforms.knative.manifests import (
    cloud_run_service,
    endpoints_in_cluster,
    function_manifests,
    gateway_manifests,
    manifests_yaml,
    workloads_of,
)
from mopar.platforms.knative.objects import Manifest
from mopar.platforms.knative.options import (
    CloudRunOptions,
    KubernetesOptions,
    address_of_function,
    check_cloud_run_options,
    replicas_of,
)
from mopar.platforms.knative.sizes import check_cloud_run
from mopar.platforms.packages import write_package
from mopar.types import UsageError
from mopar.types.deployed import Deployed, Packaged, PackageItem, Removed

_MANIFESTS, _IMAGES = "manifests", "images"
FUNCTIONS = "functions.json"
"""Addresses for ``mopar serve --functions``."""

ManifestsByMember = Mapping[str, tuple[Manifest, ...]]
"""Function, or ``GATEWAY`` -> its objects."""


def kubernetes_manifests(
    bundle: Bundle, name: str, images: Mapping[str, str], options: KubernetesOptions
) -> ManifestsByMember:
    """All objects of a deployment."""
    workloads = workloads_of(bundle, name, images, replicas_of(options))
    gateway = gateway_manifests(bundle.manifest.name, name, images, endpoints_in_cluster(workloads, options), options)
    return {**{workload.function: function_manifests(workload, options) for workload in workloads}, GATEWAY: gateway}


def package_manifests(
    builder: ImageBuilder, bundle: Bundle, name: str, folder: Path, manifests: ManifestsByMember, tell: Tell
) -> tuple[PackageItem, ...]:
    """Write ``manifests/FUNCTION.yaml``, and below ``images/`` what images are built from."""
    (folder / _IMAGES).mkdir()
    contexts = builder.contexts(bundle, name, folder / _IMAGES, tell)
    if not contexts:
        (folder / _IMAGES).rmdir()
    items = [PackageItem(item.name, f"{_IMAGES}/{item.path}", item.bytes) for item in contexts]
    (folder / _MANIFESTS).mkdir()
    for member, objects in manifests.items():
        text = manifests_yaml(objects)
        (folder / _MANIFESTS / f"{member}.yaml").write_bytes(text)
        items.append(PackageItem(member, f"{_MANIFESTS}/{member}.yaml", len(text)))
    return tuple(items)


class CloudRun:
    """Implements ``Platform``: Cloud Run takes manifests, by ``gcloud run services replace``.

    Args:
        images: what makes a bundle's images, by the options.
    """

    name = "cloud-run"
    options = CloudRunOptions

    def __init__(self, images: Callable[[ImageOptions], ImageBuilder] = chosen_images) -> None:
        self._images = images

    def package(self, bundle: Bundle, name: str, into: Path, options: CloudRunOptions, tell: Tell) -> Packaged:
        """Write a service for each function; the gateway runs where it reaches them, by ``mopar serve --functions``."""
        check_cloud_run_options(options)
        for function in bundle.manifest.plan.functions:
            check_cloud_run(function)
        builder = self._images(options)
        images = builder.references(bundle, name, options.registry)
        workloads = workloads_of(bundle, name, images, replicas_of(options))
        manifests = {workload.function: (cloud_run_service(workload),) for workload in workloads}

        def fill(folder: Path) -> tuple[PackageItem, ...]:
            items = package_manifests(builder, bundle, name, folder, manifests, tell)
            if not options.address:
                return items
            endpoints = Endpoints(
                {
                    workload.function: (address_of_function(options, workload.name),) * workload.replicas.most
                    for workload in workloads
                },
                revisions={workload.function: workload.revision for workload in workloads},
            )
            text = to_json(endpoints)
            (folder / FUNCTIONS).write_bytes(text)
            return (*items, PackageItem(GATEWAY, FUNCTIONS, len(text)))

        return write_package(into, self.name, fill)

    def deploy(self, bundle: Bundle, name: str, options: CloudRunOptions, tell: Tell) -> Deployed:  # noqa: ARG002 - of the Protocol
        """Raise UsageError: it is not done from here."""
        raise _by_gcloud(
            f"mopar package it, then gcloud run services replace manifests/FUNCTION.yaml for each of {name}"
        )

    def status(self, name: str, options: CloudRunOptions) -> Deployed:  # noqa: ARG002 - of the Protocol
        """Raise UsageError: it is not done from here."""
        raise _by_gcloud(f"gcloud run services list --filter metadata.labels.mopar-deployment={name}")

    def remove(self, name: str, options: CloudRunOptions, tell: Tell) -> Removed:  # noqa: ARG002 - of the Protocol
        """Raise UsageError: it is not done from here."""
        raise _by_gcloud(f"gcloud run services delete, for each function of {name}")


def _by_gcloud(what: str) -> UsageError:
    return UsageError(f"Cloud Run is not asked from here: {what}")


CLOUD_RUN = CloudRun()
