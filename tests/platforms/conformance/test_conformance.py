"""One suite for every platform: what is deployed answers as the model does, and removing leaves nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mopar.bundle import Bundle, build, open_bundle
from mopar.graph import load_model
from mopar.types import PlatformError, UsageError
from tests.bundle.plans import built, chain, some_cuts
from tests.models import sample_inputs
from tests.models.answers import answers
from tests.platforms.conformance.world import World, answer, removed_afterwards
from tests.platforms.conformance.worlds import opened_world

NAME = "conformance"
MODEL = "skip"
TOO_SMALL_MIB = 6


@pytest.fixture(
    params=[
        "local",
        "local-http",
        pytest.param("aws-lambda", marks=pytest.mark.aws),
        # Their own test_deploying.py shows the same, with image layers that stay and shorter deadlines.
        pytest.param("container-socket", marks=[pytest.mark.container, pytest.mark.slow]),
        pytest.param("container-http", marks=[pytest.mark.container, pytest.mark.slow]),
        pytest.param("openfaas", marks=pytest.mark.slow),
    ]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with opened_world(request.param, tmp_path) as made, removed_afterwards(made, NAME):
        yield made


@pytest.fixture
def bundle(reference: Callable[[str], Path], tmp_path: Path) -> Bundle:
    return built(reference(MODEL), tmp_path / "bundle")


def tell(_stage: str) -> None:
    """Nobody looks at the progress of a test."""


def check_answer(world: World, bundle: Bundle, reference: Callable[[str], Path]) -> None:
    deployed = world.platform.status(NAME, world.options)
    got = answer(deployed, sample_inputs(MODEL))
    want = answers(reference(MODEL), sample_inputs(MODEL))
    for spec, values in zip(bundle.manifest.outputs, want, strict=True):
        np.testing.assert_allclose(got[spec.name], values, rtol=1e-4, atol=1e-5)


def test_a_deployment_answers_until_it_is_removed(
    world: World, bundle: Bundle, reference: Callable[[str], Path]
) -> None:
    deployed = world.platform.deploy(bundle, NAME, world.options, tell)
    assert deployed.ready
    assert [function.name for function in deployed.functions] == [f.name for f in bundle.manifest.plan.functions]
    assert all(function.ready and function.memory_mib for function in deployed.functions)
    check_answer(world, bundle, reference)
    removed = world.platform.remove(NAME, world.options, tell)
    assert removed.removed
    assert not removed.left
    assert world.leftovers(NAME) == []
    with pytest.raises(UsageError, match=NAME):
        world.platform.status(NAME, world.options)


def test_deploying_again_updates(
    world: World, bundle: Bundle, reference: Callable[[str], Path], tmp_path: Path
) -> None:
    """The same name, fewer functions: no function of the earlier one stays, and clients keep their address."""
    first = world.platform.deploy(bundle, NAME, world.options, tell)
    smaller = built(reference(MODEL), tmp_path / "smaller", 2)
    second = world.platform.deploy(smaller, NAME, world.options, tell)
    assert first.gateway == second.gateway
    assert len(second.functions) == 2
    check_answer(world, smaller, reference)
    world.platform.remove(NAME, world.options, tell)
    assert world.leftovers(NAME) == []


def test_a_killed_function_comes_back(world: World, bundle: Bundle, reference: Callable[[str], Path]) -> None:
    world.platform.deploy(bundle, NAME, world.options, tell)
    for _ in range(3):
        world.kill_a_function(NAME)
        check_answer(world, bundle, reference)


@pytest.mark.cgroup
def test_a_function_with_too_little_memory_is_named(
    world: World, reference: Callable[[str], Path], tmp_path: Path
) -> None:
    model = load_model(reference(MODEL))
    build(model, chain(model, some_cuts(model, 2), TOO_SMALL_MIB), tmp_path / "small")
    with pytest.raises(PlatformError, match=r"function f\d.*memory.*6 MiB"):
        world.platform.deploy(open_bundle(tmp_path / "small"), NAME, world.options, tell)
    assert world.leftovers(NAME) == []


@pytest.mark.cgroup
def test_a_failed_update_leaves_what_ran(
    world: World, bundle: Bundle, reference: Callable[[str], Path], tmp_path: Path
) -> None:
    world.platform.deploy(bundle, NAME, world.options, tell)
    model = load_model(reference(MODEL))
    build(model, chain(model, some_cuts(model, 2), TOO_SMALL_MIB), tmp_path / "small")
    with pytest.raises(PlatformError, match="runs as it did before"):
        world.platform.deploy(open_bundle(tmp_path / "small"), NAME, world.options, tell)
    check_answer(world, bundle, reference)


def test_what_is_not_there_is_named(world: World) -> None:
    for verb in (
        lambda: world.platform.status("nobody", world.options),
        lambda: world.platform.remove("nobody", world.options, tell),
    ):
        with pytest.raises(UsageError, match="nobody"):
            verb()
