"""Functions as moto deploys them and as a service by protocol runs them, with mopar's gateway in the background."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mopar.bundle import Bundle
from mopar.gateway.client import infer
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.gateways import BackgroundGateways
from mopar.types import PlatformError, UsageError
from mopar.types.deployed import Deployed
from tests.bundle.plans import built
from tests.graph.composed import assert_equal, run_file
from tests.models import sample_inputs
from tests.platforms.aws_lambda.conftest import REGION, Aws
from tests.platforms.aws_lambda.deployed import aliases, everything, platform, quiet
from tests.platforms.aws_lambda.faults import failing
from tests.platforms.aws_lambda.lambda_service import SECRET, Handlers, Reply, fault, lambda_service, own_certificate

OPTIONS = LambdaOptions(region=REGION, ready_s=5.0)
FEEDS = sample_inputs("skip")


class Service:
    """The functions of ``demo``; those whose version is in ``broken`` die."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self._handlers = Handlers(bundle, folder)
        self.qualifiers: set[str] = set()
        self.broken: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, name: str, qualifier: str, body: bytes) -> Reply:
        with self._lock:
            self.qualifiers.add(qualifier)
        if qualifier in self.broken:
            return fault("Runtime.ExitError", "Runtime exited with error: exit status 1")
        return self._handlers(name, qualifier, body)


@pytest.fixture(scope="module")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(reference("skip"), tmp_path_factory.mktemp("served") / "bundle", 2)


@pytest.fixture
def service(
    bundle: Bundle,
    tmp_path: Path,
    aws: Aws,  # noqa: ARG001 - answers the SDK
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Service]:
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")  # for the SDK, which moto answers
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")  # moto has its own
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    made, certificate = Service(bundle, tmp_path / "functions"), own_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # over TLS, as Lambda itself
    with lambda_service(made, REGION, certificate) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        yield made
        gateways = BackgroundGateways("aws-lambda")
        if (record := gateways.find("demo")) is not None:  # a failed test leaves it
            gateways.stop(record)


def assert_answers(deployed: Deployed, reference: Callable[[str], Path]) -> None:
    assert deployed.ready
    assert deployed.gateway is not None
    got = infer(deployed.gateway.url, FEEDS)
    assert_equal(got, run_file(reference("skip"), FEEDS), "skip")


def test_a_deployment_answers_at_its_gateway_until_it_is_removed(
    bundle: Bundle, service: Service, reference: Callable[[str], Path]
) -> None:
    first = platform().deploy(bundle, "demo", OPTIONS, quiet)
    assert_answers(first, reference)
    service.qualifiers.clear()
    second = platform("2").deploy(bundle, "demo", OPTIONS, quiet)
    assert second.gateway == first.gateway
    service.qualifiers.clear()
    assert_answers(platform().status("demo", OPTIONS), reference)
    assert service.qualifiers == {"2"}
    removed = platform().remove("demo", OPTIONS, quiet)
    assert removed.removed[-1] == "gateway"
    assert removed.left == ()
    assert {kind for kind, there in everything().items() if there} == set()
    with pytest.raises(UsageError, match="nothing is deployed"):
        platform().status("demo", OPTIONS)


@pytest.mark.slow
def test_what_fails_leaves_the_gateway_as_it_was(
    bundle: Bundle, service: Service, reference: Callable[[str], Path]
) -> None:
    """Before the gateway is switched, and in it: the new versions die when the gateway calls them."""
    platform().deploy(bundle, "demo", OPTIONS, quiet)
    with (
        failing("UpdateAlias", "AccessDeniedException", last=1),
        pytest.raises(PlatformError, match=r"UpdateAlias.*demo runs as it did before$"),
    ):
        platform("2").deploy(bundle, "demo", OPTIONS, quiet)
    assert_answers(platform().status("demo", OPTIONS), reference)
    service.broken = {"3", "2"}
    with pytest.raises(PlatformError, match=r"gateway of demo did not start: function f\d .*runs as it did before$"):
        platform("3").deploy(bundle, "demo", OPTIONS, quiet)
    assert aliases() == {"demo-f0": "1", "demo-f1": "1"}
    service.qualifiers.clear()
    assert_answers(platform().status("demo", OPTIONS), reference)
    assert service.qualifiers == {"1"}


def test_a_first_deployment_whose_gateway_does_not_start_leaves_nothing(bundle: Bundle, service: Service) -> None:
    service.broken = {"1"}
    with pytest.raises(PlatformError, match="gateway of demo did not start"):
        platform().deploy(bundle, "demo", OPTIONS, quiet)
    assert {kind for kind, there in everything().items() if there} == set()
    assert BackgroundGateways("aws-lambda").find("demo") is None


@pytest.mark.usefixtures("service")
def test_without_keys_that_a_gateway_could_sign_with_nothing_is_deployed(bundle: Bundle, tmp_path: Path) -> None:
    """The SDK has more ways to credentials: here, keys of its own file."""
    keys = "aws_access_key_id = testing\naws_secret_access_key = x\n"
    (tmp_path / "config").write_text(f"[profile sso]\n{keys}")
    with pytest.raises(UsageError, match=r"no AWS credentials of profile sso .*--functions-only"):
        platform().deploy(bundle, "demo", replace(OPTIONS, profile="sso"), quiet)
    assert json.dumps(everything()).count("demo") == 0


@pytest.mark.usefixtures("service")
def test_functions_only_have_no_gateway(bundle: Bundle) -> None:
    platform().deploy(bundle, "demo", OPTIONS, quiet)
    deployed = platform().deploy(bundle, "demo", replace(OPTIONS, functions_only=True), quiet)
    assert deployed.ready
    assert deployed.gateway is None
    assert BackgroundGateways("aws-lambda").find("demo") is None
