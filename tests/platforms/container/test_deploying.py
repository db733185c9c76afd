"""Deployments by a real engine: equal answers under real limits, and nothing is left that was not asked for."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mopar.bundle import Bundle, build, open_bundle, prepare
from mopar.files import cache_directory
from mopar.gateway.client import Client, infer
from mopar.gateway.token import read_token
from mopar.graph import load_model
from mopar.limits.mounts import hierarchies
from mopar.platforms.container.building import build_images
from mopar.platforms.container.images.gateway import GatewayPlan
from mopar.platforms.container.images.images import function_images, gateway_image, write_context
from mopar.platforms.container.images.paths import LIBRARIES, PYTHON_HOME
from mopar.platforms.container.images.python import python_layer
from mopar.platforms.container.labels import ANY_DEPLOYMENT, FUNCTION, SHARED, labels_of
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.container.platform import PLATFORM
from mopar.platforms.endpoints import Endpoints
from mopar.types import PlatformError, RequestError, UsageError
from mopar.types.deployed import Deployed
from tests.bundle.plans import built, chain, some_cuts
from tests.models import sample_inputs
from tests.models.answers import answers
from tests.platforms.container.engines import containers, engine, leftovers, options, process_of, removed_afterwards

pytestmark = pytest.mark.container

NAME, OTHER = "tested", "another"
BASE = "localhost/mopar/base-of-tests:1"
MODEL = "skip"
LIMIT_MIB = 64
TOO_SMALL_MIB = 6
DEADLINE_S = 60.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return of_memory(reference, tmp_path_factory.mktemp("bundle"), LIMIT_MIB)


def of_memory(reference: Callable[[str], Path], folder: Path, memory_mib: int, pieces: int = 2) -> Bundle:
    model = load_model(reference(MODEL))
    build(model, chain(model, some_cuts(model, pieces - 1), memory_mib), folder / "bundle")
    return open_bundle(folder / "bundle")


@pytest.fixture(scope="module", autouse=True)
def shared_layers(bundle: Bundle) -> Iterator[None]:
    """Another deployment's images, so that their layers need not be built for each test; with it the layers go too."""
    images = function_images(prepare(bundle, cache_directory()), None, lambda _: None)
    endpoints = Endpoints({function.name: ("x",) for function in bundle.manifest.plan.functions})
    everything = (*images, gateway_image(bundle, GatewayPlan(endpoints, MODEL)))
    with removed_afterwards(OTHER):
        build_images(engine(), OTHER, everything, lambda _: None)
        yield
    if not engine().names("image", ANY_DEPLOYMENT):
        assert engine().names("image", SHARED) == ()


@pytest.fixture(autouse=True)
def nothing_remains() -> Iterator[None]:
    with removed_afterwards(NAME):
        yield


def deploy(bundle: Bundle, chosen: ContainerOptions) -> Deployed:
    return PLATFORM.deploy(bundle, NAME, chosen, lambda _stage: None)


def check_answer(deployed: Deployed, reference: Callable[[str], Path]) -> None:
    assert deployed.gateway is not None
    got = infer(deployed.gateway.url, sample_inputs(MODEL), timeout_s=DEADLINE_S)
    for values, want in zip(got.values(), answers(reference(MODEL), sample_inputs(MODEL)), strict=True):
        np.testing.assert_allclose(values, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("transport", ["socket", "http"])
def test_a_deployment_answers_under_its_limits_until_it_is_removed(
    bundle: Bundle, reference: Callable[[str], Path], transport: str
) -> None:
    chosen = options(transport)
    deployed = deploy(bundle, chosen)
    assert deployed.ready
    check_answer(deployed, reference)
    functions = [container for container in containers(NAME) if FUNCTION in container.labels]
    assert [limit_of(process_of(NAME, container.name)) for container in functions] == [LIMIT_MIB * MIB] * 2
    for container in functions:
        status = Path(f"/proc/{process_of(NAME, container.name)}/status").read_text()
        assert "\nUid:\t65532" in status
        assert "\nCapEff:\t0000000000000000" in status
        assert "\nNoNewPrivs:\t1" in status
    killed = process_of(NAME, functions[0].name)
    os.kill(killed, signal.SIGKILL)
    check_answer(deployed, reference)
    assert process_of(NAME, functions[0].name) != killed
    assert PLATFORM.status(NAME, chosen).ready
    removed = PLATFORM.remove(NAME, chosen, lambda _stage: None)
    assert removed.removed
    assert not removed.left
    assert leftovers(NAME) == []
    with pytest.raises(UsageError, match=NAME):
        PLATFORM.status(NAME, chosen)
    with pytest.raises(UsageError, match=NAME):
        PLATFORM.remove(NAME, chosen, lambda _stage: None)


def limit_of(pid: int) -> int:
    """The memory limit of a process in bytes, as its cgroup has it."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return int((hierarchies()["memory"].mount / path.lstrip("/") / "memory.limit_in_bytes").read_text())
    (unified,) = (line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    return int((Path("/sys/fs/cgroup") / unified.lstrip("/") / "memory.max").read_text())


def test_an_update_keeps_the_address_and_a_failed_one_what_ran(
    bundle: Bundle, reference: Callable[[str], Path], tmp_path: Path
) -> None:
    first = deploy(bundle, options())
    whole = built(reference(MODEL), tmp_path / "whole", 1)
    second = deploy(whole, options())
    assert first.gateway == second.gateway
    assert len(second.functions) == 1
    assert len(leftovers(NAME)) == 5  # two containers, their volume, their images: nothing of the first
    too_small = of_memory(reference, tmp_path, TOO_SMALL_MIB)
    before = set(leftovers(NAME))
    with pytest.raises(
        PlatformError, match=r"function f\d ran out of memory at its limit of 6 MiB.*runs as it did before"
    ):
        deploy(too_small, options())
    assert set(leftovers(NAME)) == before
    check_answer(second, reference)


def test_a_first_deployment_that_does_not_start_leaves_nothing(
    reference: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(PlatformError, match=r"function f\d.*memory.*6 MiB"):
        deploy(of_memory(reference, tmp_path, TOO_SMALL_MIB), options())
    assert leftovers(NAME) == []


def test_requests_need_the_token_that_is_given(bundle: Bundle, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("a-secret\n")
    deployed = deploy(bundle, options(token_file=token))
    assert deployed.gateway is not None
    with Client(deployed.gateway.url, token=read_token(token)) as client:
        assert client.infer(sample_inputs(MODEL))
    with pytest.raises(RequestError, match="bearer token"):
        infer(deployed.gateway.url, sample_inputs(MODEL), timeout_s=DEADLINE_S)


@pytest.mark.parametrize("stage", ["building the image of f1", "starting f1", "starting the gateway"])
def test_an_interrupt_leaves_nothing(bundle: Bundle, stage: str) -> None:
    """Ctrl-C arrives while a stage is told."""

    def tell(told: str) -> None:
        if told == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PLATFORM.deploy(bundle, NAME, options(), tell)
    assert leftovers(NAME) == []


def test_functions_are_built_upon_an_image_with_python(
    bundle: Bundle, reference: Callable[[str], Path], tmp_path: Path
) -> None:
    """Here one that is made of this machine's Python, which then belongs to the image."""
    python = python_layer()
    variables = f"PATH={PYTHON_HOME}/bin LD_LIBRARY_PATH={LIBRARIES}"
    text = f"FROM scratch\nENV {variables}\nCOPY layers/{python.name}/ /\n"
    write_context([python], {"Containerfile": text}, tmp_path / "context")
    engine().build(tmp_path / "context", "Containerfile", BASE, labels_of(NAME))
    deployed = deploy(bundle, options(base_image=BASE))
    check_answer(deployed, reference)
    used = {container.image for container in containers(NAME) if FUNCTION in container.labels}
    layers = function_images(bundle, BASE, lambda _: None)[0].layers
    assert python not in layers
    assert len(used) == 2


def test_a_port_that_is_taken_is_named_and_nothing_is_left(bundle: Bundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PlatformError, match=f"port {port} on 127.0.0.1 is in use: choose another with --port"):
            deploy(bundle, options(port=port))
    assert leftovers(NAME) == []
