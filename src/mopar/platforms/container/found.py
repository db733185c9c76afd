"""A deployment as the engine knows it: what has its labels."""

import contextlib
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mopar.platforms.container.engine import KINDS, Container, Engine
from mopar.platforms.container.labels import ANY_DEPLOYMENT, CPU, FUNCTION, MEMORY, RELEASE, SHARED, URL, labels_of
from mopar.platforms.health import answers
from mopar.types import PlatformError, UsageError
from mopar.types.deployed import Deployed, DeployedFunction, GatewayAddress, Removed


@dataclass(frozen=True, slots=True)
class Found:
    """A deployment's containers.

    Attributes:
        name: of the deployment.
        functions: of the release whose gateway was found, or of all where there is no gateway.
        gateway: the one that runs, or else the last one.
    """

    name: str
    functions: tuple[Container, ...]
    gateway: Container | None

    @property
    def port(self) -> int | None:
        """That its gateway is published on."""
        return None if self.gateway is None else urlsplit(self.gateway.labels[URL]).port


def find(engine: Engine, name: str) -> Found | None:
    """A deployment; None where nothing has its labels."""
    containers = engine.containers(labels_of(name))
    gateways = [container for container in containers if FUNCTION not in container.labels and URL in container.labels]
    gateway = next((one for one in gateways if one.running), gateways[-1] if gateways else None)
    functions = [container for container in containers if FUNCTION in container.labels]
    if gateway is not None:
        functions = [one for one in functions if one.labels[RELEASE] == gateway.labels[RELEASE]]
    return Found(name, tuple(functions), gateway) if containers else None


def found_or_raise(engine: Engine, name: str) -> Found:
    """A deployment. Raises UsageError where there is none."""
    found = find(engine, name)
    if found is None:
        raise nothing_of(engine, name)
    return found


def nothing_of(engine: Engine, name: str) -> UsageError:
    """The error where there is nothing of a deployment."""
    return UsageError(f"nothing is deployed to container as {name}: see `{engine.name} ps`, or mopar deploy --help")


def describe(found: Found, began: float) -> Deployed:
    """A deployment as the verbs report it.

    Args:
        found: what there is of it.
        began: when the verb did, on the clock of ``time.monotonic``.
    """
    gateway = found.gateway
    ready = gateway is not None and gateway.running and answers(gateway.labels[URL])
    replicas: dict[str, list[Container]] = {}
    for container in found.functions:
        replicas.setdefault(container.labels[FUNCTION], []).append(container)
    functions = tuple(_described(name, replicas[name]) for name in sorted(replicas, key=_order))
    address = None if gateway is None else GatewayAddress(gateway.labels[URL])
    return Deployed("container", found.name, ready, address, functions, round(time.monotonic() - began, 3))


def _described(name: str, replicas: Sequence[Container]) -> DeployedFunction:
    first = replicas[0]
    return DeployedFunction(
        name=name,
        endpoint=first.name,
        memory_mib=int(first.labels[MEMORY]),
        cpu=float(first.labels[CPU]),
        replicas=len(replicas),
        ready=all(container.running for container in replicas),
    )


def remove_all(
    engine: Engine, labels: Mapping[str, str], *, but: Mapping[str, str] | None = None, keep_images: bool = False
) -> Removed:
    """Remove all that has some labels, and say what is left.

    Args:
        engine: that has it.
        labels: of what is removed.
        but: what has these labels stays.
        keep_images: all images stay.
    """
    kinds = [kind for kind in KINDS if kind != "image" or not keep_images]
    found = {kind: engine.names(kind, labels) for kind in kinds}
    if but is not None:
        found = {kind: _without(names, engine.names(kind, but)) for kind, names in found.items()}
    if found["container"]:
        with contextlib.suppress(PlatformError):
            engine.stop(found["container"])
    removed: list[str] = []
    left: list[str] = []
    for kind, names in found.items():
        for name in names:
            try:
                engine.remove(kind, name)
                removed.append(name)
            except PlatformError:
                left.append(name)
    if not keep_images:
        remove_images(engine, ())
    return Removed(tuple(removed), tuple(left))


def _without(names: Iterable[str], others: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in others)


def exists(engine: Engine, name: str) -> bool:
    """Whether there is anything of a deployment, if only images."""
    return any(engine.names(kind, labels_of(name)) for kind in KINDS)


def remove_images(engine: Engine, names: Iterable[str]) -> None:
    """Remove images, and the layers that images share where no deployment has any image left.

    One that is in use, as by another release, stays.
    """
    for name in names:
        with contextlib.suppress(PlatformError):
            engine.remove("image", name)
    if not engine.names("image", ANY_DEPLOYMENT):
        for name in engine.names("image", SHARED):
            with contextlib.suppress(PlatformError):
                engine.remove("image", name)


def _order(function: str) -> list[int]:
    """The order of a plan's functions: f2_0 before f2_1, and that before f10."""
    return [int(number) for number in re.findall(r"\d+", function)]
