"""A bundle on OpenFaaS answers as the model does, and a change of it is whole or none: a fake around real processes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from mopar.bundle import Bundle, build, open_bundle
from mopar.graph import load_model
from mopar.platforms.books import load_limits
from mopar.platforms.endpoints import read_endpoints
from mopar.platforms.gateways import BackgroundGateways
from mopar.platforms.health import answers
from mopar.platforms.openfaas.client import OpenFaasClient
from mopar.platforms.openfaas.wire import FunctionSpec, Resources
from mopar.types import PlatformError, UsageError
from tests.bundle.plans import built, chain, some_cuts
from tests.platforms.openfaas.deployed import MODEL, NAME, World, check_answer, deployed, tell
from tests.platforms.openfaas.fake import PASSWORD, USERNAME
from tests.platforms.openfaas.images import STUBBORN, FakeImages, Image

TOO_SMALL_MIB = 6
NAMES = {"skip-f0", "skip-f1", "skip-f2"}
LIMITS = Resources("64Mi", "1")


def client(world: World) -> OpenFaasClient:
    return OpenFaasClient(world.fake.url, USERNAME, PASSWORD)


def small(reference: Callable[[str], Path], tmp_path: Path) -> Bundle:
    """Functions that have less memory than they need to start."""
    model = load_model(reference(MODEL))
    build(model, chain(model, some_cuts(model, 2), TOO_SMALL_MIB), tmp_path / "small")
    return open_bundle(tmp_path / "small")


def test_a_deployment_answers_whatever_is_killed_until_it_is_removed(
    world: World, bundle: Bundle, reference: Callable[[str], Path]
) -> None:
    with deployed(world, bundle) as found:
        assert found.ready
        assert [function.name for function in found.functions] == ["f0", "f1", "f2"]
        assert [function.memory_mib for function in found.functions] == [400, 400, 400]
        check_answer(found, reference(MODEL))
        assert {name: function.limit for name, function in world.fake.functions.items()} == dict.fromkeys(
            NAMES, 400 << 20
        )
        world.fake.functions["skip-f1"].kill()
        check_answer(found, reference(MODEL))
        assert world.fake.functions["skip-f1"].starts == 2
        assert world.platform.status(NAME, world.options).ready
    with pytest.raises(UsageError, match=f"nothing is deployed to openfaas at http://.* as {NAME}"):
        world.platform.status(NAME, world.options)


def test_images_larger_than_the_platform_takes_are_not_pushed(
    world: World, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = replace(load_limits("openfaas"), package_bytes=10)
    monkeypatch.setattr("mopar.platforms.images.load_limits", {"openfaas": limits}.__getitem__)
    with pytest.raises(
        PlatformError, match=r"the image of f0 has .* MiB, and openfaas takes 0\.0 MiB: plan more, smal"
    ):
        world.deploy(bundle)
    assert world.images.pushed == []
    assert world.leftovers(NAME) == []


def test_what_is_sent_says_what_it_is_and_holds_no_password(world: World, bundle: Bundle) -> None:
    some = world.with_options(secret=("pull",), replicas=2)
    with deployed(some, bundle):
        spec = world.fake.specs["skip-f1"]
        assert spec["limits"] == spec["requests"] == {"memory": "400Mi", "cpu": "1"}
        assert (spec["readOnlyRootFilesystem"], spec["secrets"]) == (True, ["pull"])
        assert spec["image"].startswith("registry.local:5000/team/skip-f1:")
        assert spec["image"] in world.images.pushed
        assert spec["labels"]["mopar.deployment"] == NAME
        assert world.fake.replicas == dict.fromkeys(NAMES, 2)
        endpoints = read_endpoints(BackgroundGateways("openfaas").functions_file(NAME), bundle.manifest)
        assert endpoints.functions["f1"] == (f"{world.fake.url}/function/skip-f1",) * 2
        assert PASSWORD not in repr(world.fake.specs)


def test_deploying_again_updates_and_clients_find_it_where_it_was(
    world: World, bundle: Bundle, reference: Callable[[str], Path], tmp_path: Path
) -> None:
    with deployed(world, bundle) as first:
        fewer = built(reference(MODEL), tmp_path / "fewer", 2)
        second = world.deploy(fewer)
        assert second.gateway == first.gateway
        assert set(world.fake.specs) == {"skip-f0", "skip-f1"}
        check_answer(second, reference(MODEL))


@pytest.mark.cgroup
def test_too_little_memory_is_named_and_nothing_is_left(
    world: World, reference: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(
        PlatformError, match=r"^function f0 did not answer .*its limit of memory, 6 MiB, may be too small"
    ):
        world.with_options(ready_s=1.0).deploy(small(reference, tmp_path))
    assert world.leftovers(NAME) == []


@pytest.mark.cgroup
@pytest.mark.parametrize("inside", [False, True])
def test_a_failed_update_leaves_what_ran(
    world: World, bundle: Bundle, reference: Callable[[str], Path], tmp_path: Path, inside: bool
) -> None:
    some = world.with_options(gateway_function=inside, inner_gateway=world.fake.url)
    with deployed(some, bundle) as found:
        with pytest.raises(PlatformError, match=r"6 MiB.*; skip runs as it did before$"):
            some.with_options(ready_s=2.0).deploy(small(reference, tmp_path))
        assert some.platform.status(NAME, some.options).gateway == found.gateway
        check_answer(found, reference(MODEL))


@pytest.mark.cgroup
def test_what_a_function_was_does_not_answer_for_what_it_is_to_be(
    world: World, bundle: Bundle, reference: Callable[[str], Path], tmp_path: Path
) -> None:
    """Where a platform keeps it until the new one has started, which here it never does."""
    with deployed(world, bundle) as found:
        world.fake.rolling = True
        with pytest.raises(PlatformError, match=r"^function f0 did not answer .* 6 MiB.*; skip runs as it did before$"):
            world.with_options(ready_s=1.0).deploy(small(reference, tmp_path))
        check_answer(found, reference(MODEL))


@pytest.mark.parametrize("inside", [False, True])
def test_no_request_meets_functions_of_two_deployments(world: World, bundle: Bundle, inside: bool) -> None:
    """The gateway is away before the first function changes."""
    some = world.with_options(gateway_function=inside, inner_gateway=world.fake.url)
    with deployed(some, bundle) as found:
        assert found.gateway is not None
        url, seen = found.gateway.url, []

        def look(stage: str) -> None:
            if stage.startswith("updating"):
                seen.append(answers(url))

        some.platform.deploy(bundle, NAME, some.options, look)
        assert seen == [False] * 3
        assert answers(url)


def test_an_image_that_cannot_be_had_leaves_no_dead_function(world: World, bundle: Bundle) -> None:
    """Refused with 400, the function is listed all the same; the functions before it run."""
    images = FakeImages(world.fake.registry, broken=frozenset({"f1"}))
    broken = World(type(world.platform)(lambda _options: images), world.options, world.fake, images)
    with pytest.raises(PlatformError, match=r"function skip-f1 cannot be created: status 400: unable to pull image"):
        broken.deploy(bundle)
    assert world.leftovers(NAME) == []


def test_functions_of_others_are_never_touched(world: World, bundle: Bundle) -> None:
    world.images.add("theirs", Image(code="import time; time.sleep(1000)"))
    client(world).create(FunctionSpec("skip-f1", "theirs", LIMITS, LIMITS))
    with pytest.raises(UsageError, match=r"skip-f1 at http://.* is not this deployment's: choose another --name"):
        world.deploy(bundle)
    assert set(world.fake.specs) == {"skip-f1"}
    tight = world.with_options(max_functions=3)
    with pytest.raises(
        PlatformError, match=r"takes 3 functions .*has 1 others, and other needs 3: .*--max-functions 2"
    ):
        world.platform.deploy(bundle, "other", tight.options, tell)
    assert set(world.fake.specs) == {"skip-f1"}


def test_a_function_that_heeds_no_sigterm_is_removed_all_the_same(world: World, bundle: Bundle) -> None:
    """Deleting it takes the platform its patience, and fails the first time."""
    with deployed(world, bundle):
        world.images.add("stubborn", Image(code=STUBBORN))
        spec = world.fake.specs["skip-f2"]
        request = FunctionSpec(
            "skip-f2", "stubborn", LIMITS, LIMITS, labels=spec["labels"], annotations=spec["annotations"]
        )
        client(world).update(request)
    assert not world.fake.specs


def test_the_gateway_as_a_function(world: World, bundle: Bundle, reference: Callable[[str], Path]) -> None:
    inside = world.with_options(gateway_function=True, inner_gateway=world.fake.url)
    with deployed(inside, bundle) as found:
        assert found.ready
        assert found.gateway is not None
        assert found.gateway.url == f"{world.fake.url}/function/skip-gateway/v2/models/skip"
        check_answer(found, reference(MODEL))
        again = world.deploy(bundle)
        assert set(world.fake.specs) == NAMES
        check_answer(again, reference(MODEL))


def test_a_package_is_a_stack_of_faas_cli(world: World, bundle: Bundle, tmp_path: Path) -> None:
    packaged = world.platform.package(bundle, NAME, tmp_path / "package", world.options, tell)
    assert [item.path for item in packaged.items] == ["f0", "f1", "f2", "stack.yaml"]
    stack = msgspec.yaml.decode((tmp_path / "package" / "stack.yaml").read_bytes())
    assert stack["provider"] == {"name": "openfaas", "gateway": world.fake.url}
    function = stack["functions"]["skip-f0"]
    assert (function["lang"], function["handler"]) == ("dockerfile", "./f0")
    assert function["limits"] == {"memory": "400Mi", "cpu": "1"}
    first = (tmp_path / "package" / "stack.yaml").read_bytes()
    world.platform.package(bundle, NAME, tmp_path / "package", world.options, tell)
    assert (tmp_path / "package" / "stack.yaml").read_bytes() == first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(UsageError, match=r"mine: that is no package of mopar's"):
        world.platform.package(bundle, NAME, tmp_path / "mine", world.options, tell)


def test_what_is_not_there_is_named(world: World) -> None:
    with pytest.raises(UsageError, match="as nobody"):
        world.platform.status("nobody", world.options)
    with pytest.raises(UsageError, match="as nobody"):
        world.platform.remove("nobody", world.options, tell)
