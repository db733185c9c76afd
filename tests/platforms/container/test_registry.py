"""Images of a bundle through a real registry, of plain HTTP on loopback: pushed, pulled back, and run."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from mopar.bundle import Bundle
from mopar.gateway.client import infer
from mopar.platforms.container.builder import EngineImages
from mopar.platforms.container.command import Commands
from mopar.platforms.container.found import remove_all
from mopar.platforms.container.labels import FUNCTION, labels_of
from mopar.platforms.container.layout import free_ports
from mopar.platforms.container.specs import ContainerSpec
from mopar.platforms.health import answers as answers_at
from mopar.platforms.images import GATEWAY, ImageOptions
from tests.bundle.plans import built
from tests.models import sample_inputs
from tests.models.answers import answers
from tests.platforms.container.engines import engine, leftovers, registry_program, removed_afterwards, runtime

pytestmark = pytest.mark.container

NAME, MODEL = "pushed", "skip"
LIMIT_MIB = 64
WAIT_S = 30.0
LISTENS = "listening on "
CONFIG = """
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:0", secret: of-tests}}
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``127.0.0.1:PORT`` of a registry that has nothing."""
    program, folder = registry_program(), tmp_path_factory.mktemp("registry")
    (folder / "config.yml").write_text(CONFIG.format(folder=folder / "data"))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        yield _address(folder / "log", process)
    finally:
        process.kill()
        process.wait()


def _address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Where it listens, as it says once it does."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if LISTENS in (said := log.read_text()):
            return said.partition(LISTENS)[2].partition('"')[0]
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def pushed(bundle: Bundle, registry: str) -> Mapping[str, str]:
    """References of images that are in the registry now."""
    images = EngineImages(ImageOptions(runtime=runtime()))
    references = images.build(bundle, NAME, f"{registry}/team", lambda _: None)
    assert references == images.references(bundle, NAME, f"{registry}/team")
    assert min(images.sizes(references).values()) > sum(path.stat().st_size for path in bundle.files_of("f0"))
    images.push(references, lambda _: None)
    return references


def tags(registry: str, member: str) -> set[str]:
    url = f"http://{registry}/v2/team/{NAME}-{member}/tags/list"
    with urllib.request.urlopen(url, timeout=WAIT_S) as response:
        return {f"{registry}/team/{NAME}-{member}:{tag}" for tag in json.load(response)["tags"]}


def pull(reference: str) -> None:
    commands = Commands(None, runtime())
    commands.ask(["pull", *(["--tls-verify=false"] if commands.name == "podman" else []), reference], WAIT_S)


def test_what_is_pushed_runs_where_it_is_pulled_and_an_update_replaces_nothing(
    reference: Callable[[str], Path], registry: str, tmp_path: Path
) -> None:
    with removed_afterwards(NAME):
        whole = built(reference(MODEL), tmp_path / "whole", 1)
        first = pushed(whole, registry)
        second = pushed(built(reference(MODEL), tmp_path / "halves", 2), registry)
        assert set(first) == {"f0", GATEWAY}
        assert set(second) == {"f0", "f1", GATEWAY}
        for member in second:
            assert tags(registry, member) == {images[member] for images in (first, second) if member in images}
        assert tags(registry, "f0") > {second["f0"]}

        remove_all(engine(), labels_of(NAME))
        assert leftovers(NAME) == []
        pull(first["f0"])
        assert leftovers(NAME) == [first["f0"]]
        check_answer(first["f0"], whole, reference(MODEL))


def check_answer(image: str, bundle: Bundle, model: Path) -> None:
    """A function's image, started as a platform would, answers as the model does."""
    (port,) = free_ports("127.0.0.1", 1)
    url = f"http://127.0.0.1:{port}"
    labels = {**labels_of(NAME), FUNCTION: "f0"}
    environment = {"PORT": str(port)}
    engine().run(
        ContainerSpec(NAME, image, labels, network="host", environment=environment, memory_mib=LIMIT_MIB, cpu=1.0)
    )
    deadline = time.monotonic() + WAIT_S
    while not answers_at(url):
        assert time.monotonic() < deadline, engine().logs(NAME, 5)
        time.sleep(0.05)
    feeds = sample_inputs(MODEL)
    (graph,) = bundle.graphs_of("f0")
    got = infer(f"{url}/v2/models/{graph.id}", feeds, timeout_s=WAIT_S)
    for values, want in zip(got.values(), answers(model, feeds), strict=True):
        np.testing.assert_allclose(values, want, rtol=1e-4, atol=1e-5)
