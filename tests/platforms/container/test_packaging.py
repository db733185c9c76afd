"""A package that people start themselves: a compose file with the same limits, in a folder that can be replaced."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mopar.bundle import Bundle
from mopar.platforms.container.images.images import containerfile_name, function_images
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.container.platform import PLATFORM
from mopar.types import UsageError
from tests.bundle.plans import MEMORY_MIB, built

NAME = "packaged"


@pytest.fixture(scope="module")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(reference("mlp"), tmp_path_factory.mktemp("bundle") / "bundle", 2)


def package(bundle: Bundle, into: Path, options: ContainerOptions) -> None:
    PLATFORM.package(bundle, NAME, into, options, lambda _stage: None)


@pytest.mark.parametrize("transport", ["socket", "http"])
def test_a_compose_file_has_the_limits_and_the_volumes(bundle: Bundle, tmp_path: Path, transport: str) -> None:
    for _ in range(2):  # the second replaces the first
        package(bundle, tmp_path / "package", ContainerOptions(transport=transport, port=8123))
    document = yaml.safe_load((tmp_path / "package" / "compose.yaml").read_text())
    services = document["services"]
    assert list(services) == ["f0", "f1", "gateway"]
    assert services["gateway"]["ports"] == ["127.0.0.1:8123:8080"]
    assert services["gateway"]["depends_on"] == ["f0", "f1"]
    for name in ("f0", "f1"):
        service = services[name]
        assert service["mem_limit"] == service["memswap_limit"] == f"{MEMORY_MIB}m"
        assert service["cpu_quota"] == service["cpu_period"]
        assert service["read_only"] is True
        assert service.get("network_mode") == ("none" if transport == "socket" else None)
        assert (tmp_path / "package" / service["build"]["dockerfile"]).is_file()
    shared = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    assert shared == set(document.get("volumes", {})) == ({"sockets"} if transport == "socket" else set())


def test_replicas_are_services_of_their_own_that_http_alone_calls(bundle: Bundle, tmp_path: Path) -> None:
    first, *others = bundle.manifest.plan.functions
    plan = replace(bundle.manifest.plan, functions=(replace(first, replicas=2), *others))
    several = replace(bundle, manifest=replace(bundle.manifest, plan=plan))
    package(several, tmp_path / "package", ContainerOptions(transport="http"))
    services = yaml.safe_load((tmp_path / "package" / "compose.yaml").read_text())["services"]
    assert list(services) == ["f0", "f0-r2", "f1", "gateway"]
    assert services["f0"]["image"] == services["f0-r2"]["image"]
    found = json.loads((tmp_path / "package" / "layers/gateway/opt/mopar/gateway/functions.json").read_text())
    assert found["functions"] == {"f0": ["http://f0:8080", "http://f0-r2:8080"], "f1": ["http://f1:8080"]}
    with pytest.raises(UsageError, match="function f0 has 2 replicas: add --transport http"):
        package(several, tmp_path / "another", ContainerOptions())


def test_a_containerfile_copies_what_is_in_the_package(bundle: Bundle, tmp_path: Path) -> None:
    package(bundle, tmp_path / "package", ContainerOptions(base_image="python:3-slim"))
    for image in function_images(bundle, "python:3-slim", lambda _: None):
        lines = (tmp_path / "package" / containerfile_name(image)).read_text().splitlines()
        assert "FROM python:3-slim" in lines
        copied = [line.split()[1] for line in lines if line.startswith("COPY")]
        assert len(copied) == 2  # without a Python of ours
        assert all((tmp_path / "package" / path).is_dir() for path in copied)


def test_a_folder_that_is_no_package_is_left_alone(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(UsageError, match="no package of containers"):
        package(bundle, tmp_path, ContainerOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("options", [{"network": "host"}, {"token_file": Path("token")}])
def test_what_is_chosen_when_it_is_deployed_is_refused(
    bundle: Bundle, tmp_path: Path, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match="are chosen when a package is deployed"):
        package(bundle, tmp_path / "package", ContainerOptions(**options))  # type: ignore[arg-type]
    assert not (tmp_path / "package").exists()
