"""What a platform must show of itself to be tested like all others."""

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mopar.gateway.arrays import Array
from mopar.gateway.client import infer
from mopar.platforms.deploying import AnyPlatform
from mopar.platforms.gateways import BackgroundGateways
from mopar.platforms.local.background import PLATFORM, LocalOptions
from mopar.types.deployed import Deployed
from tests.platforms.local.leftovers import cgroups_of, is_dead, workers_of

DEADLINE_S = 60.0


class World(Protocol):
    """A platform with the parts that stand behind it, real or faked by protocol."""

    @property
    def platform(self) -> AnyPlatform:
        """The platform."""

    @property
    def options(self) -> object:
        """Its options, as they are used here."""

    @property
    def limits_memory(self) -> bool:
        """Whether functions run under limits of memory here."""

    def kill_a_function(self, name: str) -> None:
        """Kill the process of one of a deployment's functions, as the kernel does where memory runs out."""

    def leftovers(self, name: str) -> Sequence[str]:
        """What there is of a deployment, whatever the platform's own ``status`` says."""


@dataclass(frozen=True)
class LocalWorld:
    """This machine, with background gateways."""

    options: LocalOptions
    platform: AnyPlatform = PLATFORM
    limits_memory: bool = True

    def kill_a_function(self, name: str) -> None:
        record = BackgroundGateways("local").find(name)
        assert record is not None
        os.kill(min(workers_of(record.pid)), signal.SIGKILL)

    def leftovers(self, name: str) -> Sequence[str]:
        gateways = BackgroundGateways("local")
        record = gateways.find(name)
        found = [str(path) for path in gateways.log(name).parent.glob(f"{name}.*") if path.suffix != ".lock"]
        if record is not None and not is_dead(record.pid):
            found += [f"process {record.pid}", *cgroups_of(record.pid)]
        return found


def answer(deployed: Deployed, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The answer of a deployment's gateway to one request."""
    assert deployed.gateway is not None
    return infer(deployed.gateway.url, feeds, timeout_s=DEADLINE_S)


@contextlib.contextmanager
def removed_afterwards(world: World, name: str) -> Iterator[None]:
    """Remove a deployment that a failed test leaves."""
    try:
        yield
    finally:
        if world.leftovers(name):
            world.platform.remove(name, world.options, lambda _stage: None)
