"""AWS as moto has it, with functions that really compute."""

import json
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.platforms.aws_lambda.provisioned import ProvisionedConcurrency

NEED_AWS = "MOPAR_TESTS_NEED_AWS"
REGION, BUCKET = "eu-central-1", "the-tensors"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that ask AWS are skipped without moto; CI installs it."""
    if find_spec("moto") is None and os.environ.get(NEED_AWS) != "1":
        for item in items:
            if "aws" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason='needs moto: pip install -e ".[dev]"'))


class Aws:
    """An account; ``functions`` answers invocations, and says nothing where there is none."""

    def __init__(self) -> None:
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
def service_models() -> Any:
    """The SDK's descriptions of services: each session reads megabytes of them again otherwise."""
    from botocore.loaders import create_loader

    return create_loader()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service_models: Any) -> Iterator[Aws]:
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
    monkeypatch.setattr("botocore.session.create_loader", lambda _path=None: service_models)
    config: Any = {"lambda": {"use_docker": False}, "stepfunctions": {"execute_state_machine": True}}
    with mock_aws(config=config):
        boto3.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield account
