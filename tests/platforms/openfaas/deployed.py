"""The platform with the fake behind it, and what tests ask of both."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mopar.bundle import Bundle
from mopar.gateway.client import infer
from mopar.platforms.gateways import BackgroundGateways
from mopar.platforms.openfaas.options import OpenFaasOptions
from mopar.platforms.openfaas.platform import OpenFaas
from mopar.types.deployed import Deployed
from tests.models import sample_inputs
from tests.models.answers import answers
from tests.platforms.local.leftovers import is_dead
from tests.platforms.openfaas.fake import FakeOpenFaas
from tests.platforms.openfaas.images import FakeImages

NAME, MODEL = "skip", "skip"
_ANSWER_S = 30.0


def tell(_stage: str) -> None:
    """Nobody looks at the progress of a test."""


@dataclass(frozen=True)
class World:
    """A platform, its options, and what stands behind it."""

    platform: OpenFaas
    options: OpenFaasOptions
    fake: FakeOpenFaas
    images: FakeImages

    def with_options(self, **changes: Any) -> "World":
        return replace(self, options=replace(self.options, **changes))

    def deploy(self, bundle: Bundle) -> Deployed:
        return self.platform.deploy(bundle, NAME, self.options, tell)

    def remove(self) -> None:
        assert self.platform.remove(NAME, self.options, tell).left == ()
        assert self.leftovers(NAME) == []

    def kill_a_function(self, name: str) -> None:
        self.fake.functions[f"{name}-f1"].kill()

    def leftovers(self, name: str) -> Sequence[str]:
        gateways = BackgroundGateways("openfaas")
        record = gateways.find(name)
        found = [str(path) for path in gateways.log(name).parent.glob(f"{name}.*") if path.suffix != ".lock"]
        if record is not None and not is_dead(record.pid):
            found.append(f"process {record.pid}")
        return [*found, *self.fake.specs]


@contextlib.contextmanager
def deployed(world: World, bundle: Bundle) -> Iterator[Deployed]:
    """A deployment that is removed at the end, and leaves nothing."""
    try:
        yield world.deploy(bundle)
    finally:
        world.remove()


def check_answer(found: Deployed, reference: Path) -> None:
    """The deployment answers as the model does."""
    assert found.gateway is not None
    feeds = sample_inputs(MODEL)
    got = infer(found.gateway.url, feeds, timeout_s=_ANSWER_S)
    for values, want in zip(got.values(), answers(reference, feeds), strict=True):
        np.testing.assert_allclose(values, want, rtol=1e-4, atol=1e-5)
