"""What a platform must show of itself to be tested like all others."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from mopar.gateway.arrays import Array
from mopar.gateway.client import infer
from mopar.platforms.deploying import AnyPlatform
from mopar.types.deployed import Deployed

DEADLINE_S = 60.0


class World(Protocol):
    """A platform with the parts that stand behind it, real or faked by protocol."""

    @property
    def platform(self) -> AnyPlatform:
        """The platform."""

    @property
    def options(self) -> object:
        """Its options, as they are used here."""

    def kill_a_function(self, name: str) -> None:
        """Kill the process of one of a deployment's functions, as the kernel does where memory runs out."""

    def leftovers(self, name: str) -> Sequence[str]:
        """What there is of a deployment, whatever the platform's own ``status`` says."""


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
