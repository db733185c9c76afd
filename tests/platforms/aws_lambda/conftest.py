"""AWS as moto has it, with functions that really compute."""

import json
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NEED_AWS = "MOPAR_TESTS_NEED_AWS"
REGION, BUCKET = "eu-central-1", "the-tensors"
_ASKING_AWS = ("account", "deploying", "registry", "serving", "states", "states_emulated", "template")


if find_spec("moto") is None and os.environ.get(NEED_AWS) != "1":
    # They import what is not there: pip install -e ".[dev]".
    collect_ignore = [f"test_{name}.py" for name in _ASKING_AWS]


class Aws:
    """An account; ``functions`` answers invocations, and says nothing where there is none."""

    def __init__(self) -> None:
        from tests.platforms.aws_lambda.provisioned import ProvisionedConcurrency

        self.functions: Any = None
        self.limits = {
            "TotalCodeSize": 80 << 30, "ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000,
        }  # fmt: skip
        self.provisioned = ProvisionedConcurrency()
        self.answers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "GetAccountSettings": lambda _: {"AccountLimit": self.limits, "AccountUsage": {"TotalCodeSize": 0}},
            "PutProvisionedConcurrencyConfig": self.provisioned.put,
            "GetProvisionedConcurrencyConfig": self.provisioned.get,
            "DeleteProvisionedConcurrencyConfig": self.provisioned.delete,
        }
        """Operation that moto has not -> what answers it."""
        self.errors: dict[str, dict[str, Any]] = {}
        """Function -> the error that it answers."""


@pytest.fixture(scope="session")
def clients() -> Callable[[Any, str, dict[str, Any]], Any]:
    """Makes the SDK's clients, each once: it reads megabytes of descriptions for every one otherwise."""
    from boto3.session import Session

    real, made = Session.client, dict[tuple[str, ...], Any]()

    def client(session: Any, service: str, options: dict[str, Any]) -> Any:
        variables = (os.environ.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"))
        key = (service, options.get("region_name") or session.region_name or "", *variables)
        if key not in made:
            made[key] = real(session, service, **options)
        return made[key]

    return client


@pytest.fixture
def aws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clients: Callable[[Any, str, dict[str, Any]], Any]
) -> Iterator[Aws]:
    import boto3
    from botocore.client import BaseClient
    from moto import mock_aws
    from moto.awslambda_simple.models import LambdaSimpleBackend

    for name, value in (("ACCESS_KEY_ID", "testing"), ("SECRET_ACCESS_KEY", "the-secret"), ("DEFAULT_REGION", REGION)):
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("AWS_REGION", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    account = Aws()

    def invoke(
        _self: Any, function_name: str, qualifier: str | None, body: Any, _headers: Any, response_headers: Any
    ) -> bytes:
        name = function_name.partition(":function:")[2] or function_name
        name, _, version = name.partition(":")
        if name in account.errors:
            response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps(account.errors[name]).encode()
        if account.functions is None:
            return b'{"error": {"kind": "refused", "message": "no graph is named"}}'
        return json.dumps(account.functions(name, qualifier or version, json.loads(body))).encode()

    monkeypatch.setattr(LambdaSimpleBackend, "invoke", invoke)
    real = BaseClient._make_api_call

    def ask(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        known = account.answers.get(operation)
        return real(self, operation, parameters) if known is None else known(parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", ask)

    def client(session: Any, service_name: str, **options: Any) -> Any:
        return clients(session, service_name, options)

    monkeypatch.setattr("boto3.session.Session.client", client)
    for module in ("account", "functions"):
        monkeypatch.setattr(f"mopar.platforms.aws_lambda.{module}._FIRST_PAUSE_S", 0.01)
    config: Any = {"lambda": {"use_docker": False}, "stepfunctions": {"execute_state_machine": True}}
    with mock_aws(config=config):
        boto3.setup_default_session()
        boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield account
