"""What goes wrong between here and AWS: one line each, and no secret in it."""

import importlib
import io
import socket
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from mopar.platforms.aws_lambda.account import Account, Nothing
from mopar.platforms.aws_lambda.errors import NotFoundError, refused
from mopar.types import MoparError, PlatformError, UsageError
from tests.platforms.aws_lambda.conftest import REGION
from tests.platforms.aws_lambda.faults import failing

_REFUSED = "function f0: lambda:GetAccountSettings is refused (InvalidParameterValueException): "


def ask(account: Account) -> None:
    account.ask("lambda", "get_account_settings", "function f0", Nothing)


@pytest.mark.usefixtures("aws")
def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UsageError, match=r"^no AWS credentials: set .* or name a --profile"):
        _ = Account(REGION, "").place


@pytest.mark.usefixtures("aws")
def test_no_profile_and_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"--profile nobody: .*\(nobody\)"):
        Account(REGION, "nobody")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(UsageError, match="no region is named: --region"):
        Account("", "")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert Account("", "").region == "eu-north-1"


def test_without_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str) -> object:
        if name == "boto3":
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(UsageError, match=r"needs boto3: pip install 'mopar\[aws\]'"):
        Account(REGION, "")


@pytest.mark.parametrize(
    ("code", "message", "says"),
    [
        (
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/u is not authorized to perform: lambda:CreateFunction on resource: arn:aws:x",
            "function f0: you may not lambda:CreateFunction: have it allowed for the role or user of --profile",
        ),
        ("AccessDenied", "Access Denied", "function f0: you may not lambda:GetAccountSettings: have it allowed"),
        ("ExpiredToken", "expired", "the credentials have expired (ExpiredToken): get new ones"),
        (
            "SignatureDoesNotMatch",
            "The Canonical String should have been 'the-secret'",
            "AWS does not take the credentials (SignatureDoesNotMatch): look at --profile",
        ),
        (
            "InvalidParameterValueException",
            "1 validation error: Value '4096' at 'MemorySize' failed: Member must be less than or equal to 3008",
            "function f0 needs more memory than the account's quota, 3008 MB: ask for more at Service Quotas",
        ),
        (
            "InvalidParameterValueException",
            "Unzipped size must be smaller than 262144000 bytes",
            f"{_REFUSED}Unzipped size must be smaller than 262144000 bytes: --package-kind image takes 10 GB",
        ),
        (
            "InvalidParameterValueException",
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below 100",
            f"{_REFUSED}Specified",
        ),
        ("RequestEntityTooLargeException", "too large", "function f0: it is sent directly, which takes 50 MB"),
        (
            "InvalidParameterValueException",
            "SnapStart is not supported in this region",
            f"{_REFUSED}SnapStart is not supported in this region: another --region may have it",
        ),
    ],
)
@pytest.mark.usefixtures("aws")
def test_what_aws_refuses(code: str, message: str, says: str) -> None:
    with failing("GetAccountSettings", code, message), pytest.raises(MoparError) as caught:
        ask(Account(REGION, ""))
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
    assert "the-secret" not in str(caught.value)


@pytest.mark.usefixtures("aws")
def test_a_right_that_is_missing_is_called_by_its_name() -> None:
    with (
        failing("HeadBucket", "403", "Forbidden"),
        pytest.raises(PlatformError, match=r"^b: you may not s3:ListBucket"),
    ):
        Account(REGION, "").ask("s3", "head_bucket", "b", Nothing, Bucket="the-tensors")


@pytest.mark.usefixtures("aws")
def test_throttling_is_waited_out_within_a_deadline() -> None:
    with failing("GetAccountSettings", "TooManyRequestsException", "Rate exceeded", last=1) as seen:
        ask(Account(REGION, ""))
    assert len(seen) == 2
    says = r"^function f0: lambda is busy \(TooManyRequestsException\): Rate exceeded \(tried for 0.1 s\)$"
    with (
        failing("GetAccountSettings", "TooManyRequestsException", "Rate exceeded"),
        pytest.raises(PlatformError, match=says),
    ):
        ask(Account(REGION, "", retry_s=0.1))


@pytest.mark.usefixtures("aws")
def test_a_region_that_is_none_and_a_network_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(PlatformError, match=f"^sts cannot be reached in {REGION}: is there such a region"):
        _ = Account(REGION, "").place
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nowhere")
    with pytest.raises(UsageError, match="Invalid endpoint: nowhere"):
        _ = Account(REGION, "").place


@pytest.mark.usefixtures("aws")
def test_what_is_not_there_is_none() -> None:
    account = Account(REGION, "")
    assert account.find("lambda", "get_function", "f", Nothing, FunctionName="nobody") is None
    assert account.find("s3", "head_bucket", "b", Nothing, Bucket="nobodys-bucket") is None
    assert isinstance(refused("NoSuchEntity", "", "iam", "GetRole", "r"), NotFoundError)


@pytest.mark.usefixtures("aws")
def test_the_command_line_tells_an_error_in_one_line(
    reference: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mopar.cli import main
    from tests.bundle.plans import built

    bundle = built(reference("mlp"), tmp_path / "bundle", 2)
    output, errors = io.StringIO(), io.StringIO()
    words = ["mopar", "deploy", str(bundle.root), "--platform", "aws-lambda", "--profile", "nobody"]
    monkeypatch.setattr("sys.argv", words)
    with redirect_stdout(output), redirect_stderr(errors), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--profile nobody: " in " ".join(errors.getvalue().split())
    assert "Traceback" not in errors.getvalue()
