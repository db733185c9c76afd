"""A bundle in a cluster: applied, updated, removed, all or nothing, by a fake API server and the real client."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mopar.bundle import Bundle
from mopar.platforms.knative.options import KubernetesOptions
from mopar.platforms.knative.platform import Kubernetes
from mopar.types import PlatformError, UsageError
from tests.platforms.knative.fake_cluster import FakeCluster, cluster_at
from tests.platforms.knative.images import NoImages

NAME = "skip"
NAMES = {"skip-f0", "skip-f1", "skip-f2", "skip-gateway"}
OPTIONS = {
    "knative": KubernetesOptions(registry="r", ready_s=0.5, replicas="1..3"),
    "deployment": KubernetesOptions(registry="r", ready_s=0.5, kind="deployment", replicas="2"),
}


def tell(_stage: str) -> None:
    """Nobody looks."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    with cluster_at(tmp_path / "config") as made:
        yield made


def platform(tag: str = "1") -> Kubernetes:
    return Kubernetes(lambda _path: NoImages(tag))


def images_in(cluster: FakeCluster) -> set[str]:
    found = [document["spec"].get("template") for document in cluster.objects.values()]
    return {template["spec"]["containers"][0]["image"] for template in found if template is not None}


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_deployment_is_there_until_it_is_removed(cluster: FakeCluster, bundle: Bundle, kind: str) -> None:
    found = platform().deploy(bundle, NAME, OPTIONS[kind], tell)
    assert found.ready
    assert [(function.name, function.memory_mib, function.cpu) for function in found.functions] == [
        (name, 400, 1.0) for name in ("f0", "f1", "f2")
    ]
    assert found.functions[0].replicas == (1 if kind == "knative" else 2)
    assert found.gateway is not None
    assert found.gateway.url == "http://skip-gateway.default.svc.cluster.local/v2/models/skip"
    assert cluster.names("Service") == NAMES
    assert cluster.names("Deployment") == ({"skip-gateway"} if kind == "knative" else NAMES)
    assert platform().status(NAME, OPTIONS[kind]).ready
    cluster.broken.add("skip-f1:1")
    assert [function.ready for function in platform().status(NAME, OPTIONS[kind]).functions] == [True, False, True]
    removed = platform().remove(NAME, OPTIONS[kind], tell)
    assert removed.left == ()
    assert len(removed.removed) == (5 if kind == "knative" else 8)
    assert cluster.objects == {}
    with pytest.raises(UsageError, match="nothing is deployed to the namespace default as skip"):
        platform().status(NAME, OPTIONS[kind])


def test_an_update_replaces_kinds_and_images(cluster: FakeCluster, bundle: Bundle) -> None:
    platform("1").deploy(bundle, NAME, OPTIONS["knative"], tell)
    platform("2").deploy(bundle, NAME, OPTIONS["deployment"], tell)
    assert cluster.names("Deployment") == NAMES
    assert len(cluster.objects) == 8
    assert all(image.endswith(":2") for image in images_in(cluster))


def test_what_does_not_become_ready_leaves_nothing(cluster: FakeCluster, bundle: Bundle) -> None:
    cluster.broken.add("skip-f1:1")
    says = r"function f1: Service skip-f1 was not ready within 0.5 s: Revision .* failed: the image cannot be pulled"
    with pytest.raises(PlatformError, match=says):
        platform().deploy(bundle, NAME, OPTIONS["knative"], tell)
    assert cluster.objects == {}


BROKEN = {
    ("deployment", "gateway"): "Deployment skip-gateway .*0 of its 1 replicas are there: ",
    ("deployment", "f1"): "Deployment skip-f1 .*0 of its 2 replicas are there: ",
    ("knative", "f1"): "Service skip-f1 .*the image cannot be pulled: ",
}


@pytest.mark.parametrize(("case", "comes_back"), [*((case, True) for case in BROKEN), (("knative", "f1"), False)])
def test_a_failed_update_leaves_what_was_there(
    cluster: FakeCluster, bundle: Bundle, case: tuple[str, str], comes_back: bool
) -> None:
    """What an object's controllers said of it before it changed does not count."""
    kind, function = case
    platform("1").deploy(bundle, NAME, OPTIONS[kind], tell)
    objects = set(cluster.objects)
    cluster.broken.add(f"skip-{function}:2")
    if not comes_back:
        cluster.broken.add(f"skip-{function}:1")
    says = "skip runs as it did before$" if comes_back else "skip is as it was before, but not ready: function "
    with pytest.raises(PlatformError, match=f"function {function}: {BROKEN[case]}.*; {says}"):
        platform("2").deploy(bundle, NAME, OPTIONS[kind], tell)
    assert all(image.endswith(":1") for image in images_in(cluster))
    assert set(cluster.objects) == objects


@pytest.mark.parametrize("kind", OPTIONS)
def test_no_request_meets_functions_of_two_deployments(cluster: FakeCluster, bundle: Bundle, kind: str) -> None:
    """The gateway's pods are gone before the first function changes, and come back after the last one."""
    platform("1").deploy(bundle, NAME, OPTIONS[kind], tell)
    cluster.log.clear()
    platform("2").deploy(bundle, NAME, OPTIONS[kind], tell)
    assert cluster.log[0] == "delete skip-gateway"
    assert set(cluster.log[-2:]) == {"apply skip-gateway"}
    assert "gateway" not in "".join(cluster.log[1:-2])


def test_objects_of_others_are_never_touched(cluster: FakeCluster, bundle: Bundle) -> None:
    key = ("/apis/serving.knative.dev/v1/namespaces/default/services", "skip-f1")
    theirs = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "skip-f1", "labels": {}}}
    cluster.apply(key, theirs)
    with pytest.raises(
        UsageError, match=r"Service skip-f1 has no label mopar.deployment=skip, .*choose another --name"
    ):
        platform().deploy(bundle, NAME, OPTIONS["knative"], tell)
    assert list(cluster.objects) == [key]


def test_a_cluster_without_knative_is_named(cluster: FakeCluster, bundle: Bundle) -> None:
    cluster.knows_knative = False
    with pytest.raises(
        PlatformError, match=r"Service skip-f0 cannot be applied: the cluster has no serving.knative.dev/v1"
    ):
        platform().deploy(bundle, NAME, OPTIONS["knative"], tell)
    assert cluster.objects == {}
    assert platform().deploy(bundle, NAME, OPTIONS["deployment"], tell).ready


def test_who_is_not_let_in_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    with cluster_at(tmp_path / "config", "guessed"), pytest.raises(UsageError, match="Unauthorized: see who") as caught:
        platform().deploy(bundle, NAME, OPTIONS["knative"], tell)
    assert "guessed" not in str(caught.value)


def test_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    with pytest.raises(UsageError, match="no cluster: "):
        platform().status(NAME, OPTIONS["knative"])
    with cluster_at(tmp_path / "config"):
        pass
    with pytest.raises(PlatformError, match="the cluster cannot be reached: "):
        platform().status(NAME, OPTIONS["knative"])
