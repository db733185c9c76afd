"""Manifests hold to the schemas that are published for them, and say what the plan says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import msgspec
import pytest
import yaml

from mopar.bundle import Bundle
from mopar.platforms.deploying import AnyPlatform
from mopar.platforms.endpoints import Endpoints, read_endpoints
from mopar.platforms.knative.packaging import CloudRun
from mopar.platforms.knative.platform import Kubernetes
from mopar.platforms.options import parse_options
from mopar.types import PlatformError, UsageError
from tests.platforms.knative.images import NoImages
from tests.platforms.knative.schema import Service

KUBERNETES_VERSION = "1.33"
IMAGES = ["--registry", "registry.local:5000/team"]


def tell(_stage: str) -> None:
    """Nobody looks."""


def kubernetes() -> Kubernetes:
    return Kubernetes(lambda _path: NoImages())


def cloud_run() -> CloudRun:
    return CloudRun(lambda _path: NoImages())


def packaged(platform: AnyPlatform, bundle: Bundle, into: Path, *words: str) -> dict[str, list[dict[str, Any]]]:
    """The documents of each file."""
    options = parse_options(platform.options, [*IMAGES, *words], platform.name)
    platform.package(bundle, "skip", into, options, tell)
    files = sorted((into / "manifests").iterdir())
    return {path.stem: list(yaml.safe_load_all(path.read_text())) for path in files}


def check_core(documents: Sequence[dict[str, Any]]) -> None:
    for document in documents:
        kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)


def test_knative_services_are_valid_and_say_what_is_planned(bundle: Bundle, tmp_path: Path) -> None:
    words = ("--replicas", "0..3", "--pull-secret", "registry-key", "--namespace", "ml")
    found = packaged(kubernetes(), bundle, tmp_path / "p", *words)
    assert set(found) == {"f0", "f1", "f2", "gateway"}
    check_core(found.pop("gateway"))
    for name, (document,) in found.items():
        service = msgspec.convert(document, Service)
        assert (service.metadata.name, service.metadata.namespace) == (f"skip-{name}", "ml")
        assert service.metadata.labels["mopar.deployment"] == "skip"
        assert service.metadata.labels["networking.knative.dev/visibility"] == "cluster-local"
        template = service.spec.template
        assert template.metadata.annotations == {
            "autoscaling.knative.dev/min-scale": "0",
            "autoscaling.knative.dev/max-scale": "3",
        }
        assert template.spec.container_concurrency == 1
        assert [secret.name for secret in template.spec.image_pull_secrets] == ["registry-key"]
        (container,) = template.spec.containers
        assert container.image == f"registry.local:5000/team/skip-{name}:1"
        assert container.resources.limits == container.resources.requests == {"memory": "400Mi", "cpu": "1"}
        assert container.startup_probe.http_get.path == "/v2/health/ready"
        assert container.liveness_probe.http_get.path == "/v2/health/live"


def test_plain_kubernetes_gets_deployments_and_services_that_find_them(bundle: Bundle, tmp_path: Path) -> None:
    found = packaged(kubernetes(), bundle, tmp_path / "p", "--kind", "deployment", "--replicas", "2")
    for name, (deployment, service) in found.items():
        check_core([deployment, service])
        assert deployment["spec"]["replicas"] == (1 if name == "gateway" else 2)
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        for selector in (deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"]):
            assert selector.items() <= labels.items()
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["containerPort"]
        assert container["securityContext"]["readOnlyRootFilesystem"]


def test_the_gateway_calls_the_functions_as_they_are_named(bundle: Bundle, tmp_path: Path) -> None:
    found = packaged(kubernetes(), bundle, tmp_path / "p", "--namespace", "ml", "--replicas", "1..4")
    (container,) = found["gateway"][0]["spec"]["template"]["spec"]["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    endpoints = msgspec.json.decode(variables["MOPAR_FUNCTIONS"], type=Endpoints)
    for name in ("f0", "f1", "f2"):
        (document,) = found[name]
        (of_function,) = document["spec"]["template"]["spec"]["containers"]
        assert endpoints.functions[name] == (f"http://{document['metadata']['name']}.ml.svc.cluster.local",) * 4
        assert {"name": "MOPAR_REVISION", "value": endpoints.revisions[name]} in of_function["env"]


def test_cloud_run_services_are_valid(bundle: Bundle, tmp_path: Path) -> None:
    words = ("--replicas", "0..5", "--address", "http://127.0.0.1:8080/{name}")
    for name, (document,) in packaged(cloud_run(), bundle, tmp_path / "p", *words).items():
        service = msgspec.convert(document, Service)
        annotations = service.spec.template.metadata.annotations
        assert annotations["autoscaling.knative.dev/maxScale"] == "5"
        (container,) = service.spec.template.spec.containers
        assert container.resources.limits == {"memory": "400Mi", "cpu": "1"}
        probe = container.startup_probe
        assert probe.timeout_seconds <= probe.period_seconds
        assert probe.failure_threshold * probe.period_seconds <= 240
        assert all(set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for label in service.metadata.labels)
        endpoints = read_endpoints(tmp_path / "p" / "functions.json", bundle.manifest)
        assert endpoints.functions[name] == (f"http://127.0.0.1:8080/skip-{name}",) * 5


def test_a_package_is_the_same_whenever_it_is_written(bundle: Bundle, tmp_path: Path) -> None:
    for name in ("one", "other"):
        packaged(kubernetes(), bundle, tmp_path / name)
    for path in (tmp_path / "one" / "manifests").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / "manifests" / path.name).read_bytes()
        assert "{" not in path.read_text().split("MOPAR_FUNCTIONS")[0]  # block style
    record = json.loads((tmp_path / "one" / "mopar-package.json").read_text())
    assert {item["name"] for item in record["items"]} == {"f0", "f1", "f2", "gateway"}


MISTAKES = {
    ("--kind", "job"): "--kind job: choose from knative, deployment",
    ("--kind", "deployment", "--replicas", "1..2"): "a deployment does not scale",
    ("--kind", "deployment", "--replicas", "0"): "--replicas 0: ",
    ("--replicas", "3..1"): "write a number, such as 2, or a range",
    ("--replicas", "many"): "--replicas many",
    ("--namespace", "My_Space"): "--namespace My_Space",
    ("--gateway-memory", "1GB"): "such as 1G",
    ("--ready-s", "0"): "--ready-s 0",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_named(bundle: Bundle, tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=MISTAKES[words]):
        packaged(kubernetes(), bundle, tmp_path / "p", *words)
    assert not (tmp_path / "p").exists()


def test_images_that_exist_are_named_in_a_file(bundle: Bundle, tmp_path: Path) -> None:
    images = tmp_path / "images.json"
    images.write_text(json.dumps({name: f"ours/{name}@sha256:0" for name in ("f0", "f1", "f2")}))
    platform = Kubernetes()
    with pytest.raises(UsageError, match="--images is missing"):
        packaged(platform, bundle, tmp_path / "p")
    with pytest.raises(PlatformError, match="no image of the gateway: add one as 'gateway'"):
        packaged(platform, bundle, tmp_path / "p", "--images", str(images))
    (document,) = packaged(CloudRun(), bundle, tmp_path / "p", "--images", str(images))["f1"]
    assert document["spec"]["template"]["spec"]["containers"][0]["image"] == "ours/f1@sha256:0"
    images.write_text('{"f0": "ours/f0"}')
    with pytest.raises(UsageError, match=r"images\.json: there is no image of function f1"):
        packaged(CloudRun(), bundle, tmp_path / "q", "--images", str(images))


def test_cloud_run_is_packaged_for_only(bundle: Bundle) -> None:
    platform = cloud_run()
    options = parse_options(platform.options, [], "cloud-run")
    with pytest.raises(UsageError, match="gcloud run services replace"):
        platform.deploy(bundle, "skip", options, tell)
