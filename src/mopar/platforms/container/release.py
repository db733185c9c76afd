"""One release of a deployment: its containers, with the volume or network that they share, from start to removal.

An update starts a new release beside the one that runs, so that the old one is there until the new one answers.
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from mopar.platforms.container.command import CommandError
from mopar.platforms.container.engine import Container, Engine
from mopar.platforms.container.failures import says_too_small, why_it_ended, why_it_was_refused
from mopar.platforms.container.labels import FUNCTION, member_of
from mopar.platforms.container.specs import ContainerSpec
from mopar.platforms.health import answers
from mopar.runtime.report import READY
from mopar.types import PlatformError

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.03, 0.25
_HEALTH_S = 2.0
_LINES = 5
_ENOUGH_MIB = 128
"""A memory limit in which every engine can start a container."""


def new_release() -> str:
    """A name that no other release has."""
    return os.urandom(3).hex()


def wait_for_answers(url: str, timeout_s: float) -> None:
    """Wait until a gateway that ran before answers again, or the time is over."""
    deadline = time.monotonic() + timeout_s
    while not answers(url, _HEALTH_S) and time.monotonic() < deadline:
        time.sleep(_LONGEST_PAUSE_S)


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """What a release consists of.

    Attributes:
        labels: of everything.
        functions, gateway: its containers.
        url: where the gateway answers.
        ready_s: how long all may take.
        volumes, network: what containers share; made before they are started.
    """

    labels: Mapping[str, str]
    functions: Sequence[ContainerSpec]
    gateway: ContainerSpec
    url: str
    ready_s: float
    volumes: Sequence[str] = ()
    network: str | None = None


class Release:
    """Starts the containers of a release.

    Args:
        engine: that runs them.
        plan: what is started.
    """

    def __init__(self, engine: Engine, plan: ReleasePlan) -> None:
        self.engine, self.plan = engine, plan
        self._started: dict[str, ContainerSpec] = {}

    def start_functions(self, tell: Callable[[str], None]) -> None:
        """Start the functions and wait until their graphs are loaded. Raises PlatformError naming one that fails."""
        for volume in self.plan.volumes:
            self.engine.create_volume(volume, self.plan.labels)
        if self.plan.network is not None:
            self.engine.create_network(self.plan.network, self.plan.labels)
        for spec in self.plan.functions:
            tell(f"starting {spec.labels[FUNCTION]}")
            self._start(spec)
        tell("waiting for the functions")
        self._wait({spec.name for spec in self.plan.functions}, self._says_ready, time.monotonic() + self.plan.ready_s)

    def start_gateway(self, tell: Callable[[str], None]) -> None:
        """Start the gateway and wait until it answers. Raises PlatformError."""
        tell("starting the gateway")
        self._start(self.plan.gateway)
        self._wait(
            {self.plan.gateway.name}, lambda _: answers(self.plan.url, _HEALTH_S), time.monotonic() + self.plan.ready_s
        )

    def _start(self, spec: ContainerSpec) -> None:
        self._started[spec.name] = spec
        try:
            self.engine.run(spec)
        except CommandError as error:
            raise why_it_was_refused(spec, error, too_small=self._is_too_small(spec, error)) from error

    def _is_too_small(self, spec: ContainerSpec, error: CommandError) -> bool:
        """Whether a container was refused for its memory limit.

        Memory may run out at any point of an engine's own start (runc needs 13 MiB), and few of them are told as such:
        so it is tried with a limit that suffices.
        """
        if spec.memory_mib is None:
            return False
        if says_too_small(error) or spec.memory_mib >= _ENOUGH_MIB:
            return says_too_small(error)
        with contextlib.suppress(CommandError):
            self.engine.remove("container", spec.name)
        try:
            self.engine.run(replace(spec, memory_mib=_ENOUGH_MIB, restarts=False))
        except CommandError:
            return False
        return True

    def _says_ready(self, name: str) -> bool:
        return READY in self.engine.logs(name, _LINES)

    def _wait(self, names: set[str], is_ready: Callable[[str], bool], deadline: float) -> None:
        """Wait for containers. Raises PlatformError: one ended, or was not ready at the deadline."""
        pause_s = _FIRST_PAUSE_S
        while names:
            found = {container.name: container for container in self.engine.containers(self.plan.labels)}
            for name in sorted(names):
                container = found.get(name)
                if container is None or not container.running or container.restarts:
                    raise self._failure(name, container)
                if is_ready(name):
                    names.discard(name)
            if names and time.monotonic() + pause_s > deadline:
                late = self._started[min(names)]
                raise PlatformError(
                    f"{member_of(late.labels)} was not ready within {self.plan.ready_s:g} s: see its own messages ("
                    f"{self.engine.name} logs), or wait longer with --ready-s"
                )
            if names:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _failure(self, name: str, container: Container | None) -> PlatformError:
        """Why a container does not run: it is run once more without being restarted, unless it said why itself."""
        spec = self._started[name]
        said = self.engine.logs(name, _LINES)
        known = why_it_ended(spec, container, said)
        if known is not None:
            return known
        self.engine.remove("container", name)
        with contextlib.suppress(CommandError):
            self.engine.run(replace(spec, restarts=False))
        deadline = time.monotonic() + self.plan.ready_s
        while time.monotonic() < deadline:
            ended = next((one for one in self.engine.containers(self.plan.labels) if one.name == name), None)
            if ended is None or not ended.running:
                found = why_it_ended(spec, ended, self.engine.logs(name, _LINES))
                return found or PlatformError(f"{member_of(spec.labels)} ended, and does not say why")
            time.sleep(_LONGEST_PAUSE_S)
        return PlatformError(f"{member_of(spec.labels)} ended once, and then did not: deploy again")
