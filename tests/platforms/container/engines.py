"""The container engine that tests use, where there is one."""

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import NoReturn

import pytest

from mopar.platforms.container.command import Commands
from mopar.platforms.container.engine import Container, Engine
from mopar.platforms.container.labels import labels_of
from mopar.platforms.container.options import ContainerOptions

NEED_CONTAINERS = "MOPAR_TESTS_NEED_CONTAINERS"
"""Set to 1 by ``.ci/run``, which installs an engine and a registry."""


@functools.cache
def runtime() -> str | None:
    """What podman starts containers with here: runc where it is installed, since crun refuses hybrid cgroups."""
    return "runc" if shutil.which("podman") and shutil.which("runc") else None


@functools.cache
def why_no_engine() -> str | None:
    """Why no container can be started here; None where one can."""
    program = shutil.which("podman") or shutil.which("docker")
    if program is None:
        return "neither podman nor docker is installed"
    done = subprocess.run([program, "info"], capture_output=True, text=True, timeout=60, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def require_containers_for(test: pytest.Item) -> None:
    """Skip a test that needs an engine where there is none, or fail it where it must be."""
    if test.get_closest_marker("container") is None or (why := why_no_engine()) is None:
        return
    _missing("container engine", why)


def registry_program() -> str:
    """Debian's ``docker-registry``; without it the test is skipped, or fails where it must be there."""
    return shutil.which("docker-registry") or _missing("registry", "docker-registry is not installed")


def _missing(what: str, why: str) -> NoReturn:
    if os.environ.get(NEED_CONTAINERS) == "1":
        pytest.fail(f"{NEED_CONTAINERS} is 1, but there is no {what}: {why}", pytrace=False)
    pytest.skip(f"no {what}: {why}")


def options(transport: str = "socket", **others: object) -> ContainerOptions:
    """Options of deployments as they work here, with the host's network: not every sandbox has bridges."""
    chosen: dict[str, object] = {"runtime": runtime(), "network": "host", "transport": transport, **others}
    return ContainerOptions(**chosen)  # type: ignore[arg-type]


def engine() -> Engine:
    """The engine itself."""
    return Engine(Commands(None, runtime()))


def leftovers(deployment: str) -> Sequence[str]:
    """All that the engine has of a deployment, whatever its kind."""
    labels = labels_of(deployment)
    return [name for kind in ("container", "network", "volume", "image") for name in engine().names(kind, labels)]


def containers(deployment: str) -> Sequence[Container]:
    """A deployment's containers."""
    return engine().containers(labels_of(deployment))


def process_of(deployment: str, container: str) -> int:
    """The number of a container's process on this machine."""
    (found,) = (one for one in containers(deployment) if one.name == container)
    return found.pid


@contextlib.contextmanager
def removed_afterwards(deployment: str) -> Iterator[None]:
    """Remove what a failed test leaves."""
    from mopar.platforms.container.found import remove_all

    try:
        yield
    finally:
        remove_all(engine(), labels_of(deployment), keep_images=False)
