"""Bundles on Kubernetes, with or without Knative: packaged as manifests, deployed, looked at and removed."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mopar.bundle import Bundle
from mopar.platforms.deploying import Tell
from mopar.platforms.images import GATEWAY, ImageBuilder, ImageOptions, chosen_images, push_what_fits
from mopar.platforms.knative.cluster import Cluster
from mopar.platforms.knative.found import deployed_of
from mopar.platforms.knative.live import Live, Reference, reference_of
from mopar.platforms.knative.options import KubernetesOptions, check_kubernetes
from mopar.platforms.knative.packaging import ManifestsByMember, kubernetes_manifests, package_manifests
from mopar.platforms.knative.rollout import Rollout, delete_all, objects_of
from mopar.platforms.names import FUNCTION_LABEL
from mopar.platforms.packages import write_package
from mopar.types import MoparError, PlatformError, UsageError
from mopar.types.deployed import Deployed, Packaged, PackageItem, Removed


class Kubernetes:
    """Implements ``Platform``.

    Args:
        images: what makes a bundle's images, by the options.
    """

    name = "knative"
    options = KubernetesOptions

    def __init__(self, images: Callable[[ImageOptions], ImageBuilder] = chosen_images) -> None:
        self._images = images

    def package(self, bundle: Bundle, name: str, into: Path, options: KubernetesOptions, tell: Tell) -> Packaged:
        """Write manifests for ``kubectl apply``, and what the images are built from."""
        check_kubernetes(options)
        builder = self._images(options)
        manifests = kubernetes_manifests(bundle, name, builder.references(bundle, name, options.registry), options)

        def fill(folder: Path) -> tuple[PackageItem, ...]:
            return package_manifests(builder, bundle, name, folder, manifests, tell)

        return write_package(into, self.name, fill)

    def deploy(self, bundle: Bundle, name: str, options: KubernetesOptions, tell: Tell) -> Deployed:
        """Apply all objects and wait until they are ready; or take all changes back."""
        began = time.monotonic()
        check_kubernetes(options)
        with _cluster(options) as cluster:
            before = objects_of(cluster, name)
            builder = self._images(options)
            images = builder.build(bundle, name, options.registry, tell)
            push_what_fits(builder, images, self.name, tell)
            manifests = kubernetes_manifests(bundle, name, images, options)
            rollout = Rollout(cluster, name, tell)
            try:
                _change(rollout, before, manifests, options)
            except MoparError as error:
                kind = UsageError if isinstance(error, UsageError) else PlatformError
                raise kind(f"{error}{_taken_back(rollout, list(before), name, options)}") from error
            except BaseException:  # an interrupt too
                rollout.undo()
                raise
            return deployed_of(name, objects_of(cluster, name), options, began)

    def status(self, name: str, options: KubernetesOptions) -> Deployed:
        """The objects as the cluster tells of them."""
        began = time.monotonic()
        check_kubernetes(options)
        with _cluster(options) as cluster:
            return deployed_of(name, _objects(cluster, name, options), options, began)

    def remove(self, name: str, options: KubernetesOptions, tell: Tell) -> Removed:
        """Delete all objects of a deployment."""
        check_kubernetes(options)
        with _cluster(options) as cluster:
            objects = _objects(cluster, name, options)
            tell(f"removing {name}")
            left = delete_all(cluster, list(objects))
        return Removed(tuple(str(item) for item in objects if item not in left), tuple(map(str, left)))


@contextlib.contextmanager
def _cluster(options: KubernetesOptions) -> Iterator[Cluster]:
    cluster = Cluster(options.context, options.namespace)
    try:
        yield cluster
    finally:
        cluster.close()


def _objects(cluster: Cluster, name: str, options: KubernetesOptions) -> Mapping[Reference, Live]:
    found = objects_of(cluster, name)
    if not found:
        raise UsageError(f"nothing is deployed to the namespace {options.namespace} as {name}: see mopar deploy --help")
    return found


def _change(
    rollout: Rollout, before: Mapping[Reference, Live], manifests: ManifestsByMember, options: KubernetesOptions
) -> None:
    kept = {reference_of(item) for objects in manifests.values() for item in objects}
    for reference, live in before.items():
        # The gateway's pods, too: no request may meet functions of both.
        is_gateway = reference.kind == "Deployment" and live.label(FUNCTION_LABEL) == GATEWAY
        if is_gateway or reference not in kept:
            rollout.drop(reference, live)
    functions = [item for member, objects in manifests.items() if member != GATEWAY for item in objects]
    for batch in (functions, list(manifests[GATEWAY])):
        for item in batch:
            rollout.apply(item)
        rollout.await_ready([reference_of(item) for item in batch], options.ready_s)


def _taken_back(rollout: Rollout, before: Sequence[Reference], name: str, options: KubernetesOptions) -> str:
    """Take changes back; what to add to the message of the error."""
    left = rollout.undo()
    if left:
        return f"; {', '.join(left)} may be left: mopar remove {name} --platform knative"
    if not before:
        return ""
    try:
        rollout.await_ready(before, options.ready_s)
    except MoparError as error:
        return f"; {name} is as it was before, but not ready: {error}"
    return f"; {name} runs as it did before"


KUBERNETES = Kubernetes()
