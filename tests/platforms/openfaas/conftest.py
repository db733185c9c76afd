"""A fake platform for each test, with a state folder of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mopar.bundle import Bundle
from mopar.limits import detect_cgroups
from mopar.platforms.openfaas.options import OpenFaasOptions
from mopar.platforms.openfaas.platform import OpenFaas
from tests.bundle.plans import built
from tests.platforms.local.leftovers import nothing_left
from tests.platforms.openfaas.deployed import World
from tests.platforms.openfaas.fake import PASSWORD, openfaas
from tests.platforms.openfaas.images import FakeImages

__all__ = ["nothing_left"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_left: None) -> Iterator[World]:  # noqa: ARG001 - checked last
    monkeypatch.setenv("OPENFAAS_CONFIG", str(tmp_path / "nobody"))
    monkeypatch.delenv("OPENFAAS_PASSWORD", raising=False)
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    with openfaas(tmp_path / "openfaas", detect_cgroups()) as fake:
        options = OpenFaasOptions(
            gateway=fake.url, password_file=password, registry="registry.local:5000/team", ready_s=30.0
        )
        images = FakeImages(fake.registry)
        yield World(OpenFaas(lambda _options: images), options, fake, images)


@pytest.fixture(scope="session")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Three functions; tests leave it as it is."""
    return built(reference("skip"), tmp_path_factory.mktemp("openfaas") / "bundle")
