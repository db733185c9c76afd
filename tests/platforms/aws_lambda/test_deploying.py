"""Deploying to AWS as moto has it: all of it, or what was there before."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from mopar.bundle import Bundle
from mopar.platforms.aws_lambda.function_package import StoredFile
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.types import MoparError, PlatformError, UsageError
from tests.bundle.plans import built
from tests.platforms.aws_lambda.conftest import BUCKET, REGION, Aws
from tests.platforms.aws_lambda.deployed import aliases, everything, platform, policies, quiet
from tests.platforms.aws_lambda.faults import failing

OPTIONS = LambdaOptions(region=REGION, ready_s=2.0, functions_only=True)


@pytest.fixture(scope="session")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Three functions; tests leave it as it is."""
    return built(reference("skip"), tmp_path_factory.mktemp("lambda") / "bundle")


@pytest.mark.usefixtures("aws")
def test_deploying_updating_and_removing(bundle: Bundle) -> None:
    made = platform().deploy(bundle, "demo", OPTIONS, quiet)
    assert made.ready
    assert [function.name for function in made.functions] == ["f0", "f1", "f2"]
    assert {function.memory_mib for function in made.functions} == {400}
    assert aliases() == {"demo-f0": "1", "demo-f1": "1", "demo-f2": "1"}
    updated = platform("2").deploy(bundle, "demo", replace(OPTIONS, tag=("team=vision",)), quiet)
    assert updated.ready
    assert aliases() == {"demo-f0": "2", "demo-f1": "2", "demo-f2": "2"}
    tags = boto3.client("lambda").get_function(FunctionName="demo-f1")["Tags"]
    assert tags == {"team": "vision", "mopar:deployment": "demo", "mopar:function": "f1", "mopar:alias": "live"}
    assert platform().status("demo", OPTIONS).ready
    removed = platform().remove("demo", OPTIONS, quiet)
    assert removed.left == ()
    assert {kind for kind, there in everything().items() if there} == set()
    with pytest.raises(UsageError, match="nothing is deployed to account 123456789012 in eu-central-1 as demo"):
        platform().status("demo", OPTIONS)


STATES = replace(OPTIONS, orchestration="step-functions", bucket=BUCKET)


@pytest.fixture(scope="session")
def small(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Two functions."""
    return built(reference("skip"), tmp_path_factory.mktemp("lambda") / "bundle", 2)


@pytest.mark.usefixtures("aws")
def test_with_a_state_machine_that_calls_versions(small: Bundle) -> None:
    platform().deploy(small, "demo", STATES, quiet)
    platform("2").deploy(small, "demo", STATES, quiet)
    client = boto3.client("stepfunctions")
    (machine,) = client.list_state_machines()["stateMachines"]
    definition = client.describe_state_machine(stateMachineArn=machine["stateMachineArn"])["definition"]
    called = [state["Parameters"]["FunctionName"] for state in _states(definition) if state["Type"] == "Task"]
    assert called == [f"arn:aws:lambda:{REGION}:123456789012:function:demo-f{place}:2" for place in range(2)]
    rules = boto3.client("s3").get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert [rule["Filter"]["Prefix"] for rule in rules] == ["mopar/demo/tensors/"]
    # Without one again: what only it needed goes.
    platform("3").deploy(small, "demo", OPTIONS, quiet)
    assert not everything()["machines"]
    assert everything()["roles"] == [f"demo-f{place}-{REGION}" for place in range(2)]
    platform().remove("demo", STATES, quiet)
    assert {kind for kind, there in everything().items() if there} == set()


ENTRY = replace(OPTIONS, orchestration="entry", entry_mib=256, functions_only=False)


@pytest.mark.usefixtures("aws")
def test_with_an_entry_function_that_calls_versions(small: Bundle) -> None:
    platform().deploy(small, "demo", ENTRY, quiet)
    made = platform("2").deploy(small, "demo", ENTRY, quiet)
    assert made.ready
    assert made.gateway is None
    assert aliases() == {"demo-f0": "2", "demo-f1": "2", "demo-entry": "2"}
    function = boto3.client("lambda").get_function_configuration(FunctionName="demo-entry", Qualifier="live")
    told = json.loads(function["Environment"]["Variables"]["MOPAR_FUNCTIONS"])
    assert told["functions"] == {"f0": ["demo-f0:2"], "f1": ["demo-f1:2"]}
    assert (function["MemorySize"], function["Timeout"]) == (256, 120)
    statements = policies()[f"demo-entry-{REGION}"]["Statement"]
    assert {statement["Sid"]: statement["Resource"] for statement in statements}["CallItsFunctions"] == [
        f"arn:aws:lambda:{REGION}:123456789012:function:demo-f{place}:*" for place in range(2)
    ]
    with failing("Invoke", "InvalidRuntimeException", first=3), pytest.raises(PlatformError, match="function entry"):
        platform("3").deploy(small, "demo", ENTRY, quiet)
    assert aliases() == {"demo-f0": "2", "demo-f1": "2", "demo-entry": "2"}
    # Without one again: it goes.
    platform("3").deploy(small, "demo", OPTIONS, quiet)
    assert everything()["functions"] == ["demo-f0", "demo-f1"]
    assert everything()["roles"] == [f"demo-f{place}-{REGION}" for place in range(2)]


@pytest.mark.usefixtures("aws")
def test_functions_that_a_new_plan_has_not_are_removed(bundle: Bundle, small: Bundle) -> None:
    platform().deploy(bundle, "demo", OPTIONS, quiet)
    assert len(platform().deploy(small, "demo", OPTIONS, quiet).functions) == 2
    there = everything()
    assert there["functions"] == ["demo-f0", "demo-f1"]
    assert there["logs"] == ["/aws/lambda/demo-f0", "/aws/lambda/demo-f1"]
    assert len(there["roles"]) == 2


@pytest.mark.usefixtures("aws")
def test_the_version_before_is_kept_and_older_ones_are_not(small: Bundle) -> None:
    for text in ("1", "2", "3"):
        platform(text).deploy(small, "demo", OPTIONS, quiet)
    assert [name for name in everything()["versions"] if name.startswith("demo-f0")] == [
        "demo-f0:$LATEST", "demo-f0:2", "demo-f0:3",
    ]  # fmt: skip


def test_instances_are_kept_ready_of_the_version_that_answers_alone(small: Bundle, aws: Aws) -> None:
    kept = replace(OPTIONS, provisioned_concurrency=2)
    platform("1").deploy(small, "demo", kept, quiet)
    made = platform("2").deploy(small, "demo", kept, quiet)
    assert [function.replicas for function in made.functions] == [2, 2]
    assert aws.provisioned.configs == {("demo-f0", "2"): 2, ("demo-f1", "2"): 2}
    platform("3").deploy(small, "demo", OPTIONS, quiet)
    assert aws.provisioned.configs == {}


@pytest.mark.usefixtures("aws")
def test_a_large_archive_goes_through_the_bucket(small: Bundle) -> None:
    large = platform(packed_bytes=60 << 20)
    with pytest.raises(PlatformError, match=r"function f0: its archive, sent directly, has 60.0 MB.* 50 MB.*--bucket"):
        large.deploy(small, "demo", OPTIONS, quiet)
    with failing("CreateFunction", "Never", first=1000) as seen:
        large.deploy(small, "demo", replace(OPTIONS, bucket=BUCKET), quiet)
    assert [set(request["Code"]) for request in seen] == [{"S3Bucket", "S3Key"}] * 2
    assert everything()["objects"] == []


_MADE = {
    "GetBucketLifecycleConfiguration": "AccessDenied",
    "PutBucketLifecycleConfiguration": "AccessDenied",
    "CreateRole": "LimitExceeded",
    "PutRolePolicy": "MalformedPolicyDocument",
    "CreateLogGroup": "LimitExceededException",
    "PutRetentionPolicy": "InvalidParameterException",
    "CreateFunction": "CodeStorageExceededException",
    "PublishVersion": "ResourceConflictException",
    "Invoke": "InvalidRuntimeException",
    "CreateAlias": "ResourceConflictException",
    "PutProvisionedConcurrencyConfig": "InvalidParameterValueException",
    "CreateStateMachine": "StateMachineLimitExceeded",
}
_ONCE = {
    "GetBucketLifecycleConfiguration", "PutBucketLifecycleConfiguration", "CreateStateMachine", "UpdateStateMachine",
}  # fmt: skip
"""Of the others the second request is refused, of the second function."""


def test_a_failed_deployment_leaves_nothing(small: Bundle, aws: Aws) -> None:
    """At whatever request: as each failure leaves nothing, one account serves for all."""
    options = replace(STATES, provisioned_concurrency=1)
    for operation, code in _MADE.items():
        first = 1 if operation in _ONCE else 2
        with failing(operation, code, first=first) as seen, pytest.raises(MoparError) as caught:
            platform().deploy(small, "demo", options, quiet)
        assert len(seen) >= first, f"{operation} is refused before its turn: {caught.value}"
        assert "\n" not in str(caught.value), operation
        assert "may be left" not in str(caught.value), operation
        assert {kind for kind, there in everything().items() if there} == set(), operation
        assert not aws.provisioned.configs, operation
        with pytest.raises(boto3.client("s3").exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
            boto3.client("s3").get_bucket_lifecycle_configuration(Bucket=BUCKET)


_CHANGED = (
    "PutRolePolicy", "PutRetentionPolicy", "UpdateFunctionConfiguration", "UpdateFunctionCode", "TagResource",
    "PublishVersion", "Invoke", "UpdateAlias", "UpdateStateMachine",
)  # fmt: skip


@pytest.mark.usefixtures("aws")
def test_a_failed_update_leaves_what_answered(small: Bundle) -> None:
    """At whatever request: what answered, with which rights and tags, is the same afterwards."""
    platform().deploy(small, "demo", OPTIONS, quiet)
    platform().deploy(small, "demo", STATES, quiet)
    before = everything() | {"definition": [_definition()]}
    changed = replace(STATES, tag=("a=b",), log_retention_days=3)
    with_weights = platform("2", stored=(_stored(small),))
    for operation in _CHANGED:
        first = 1 if operation in _ONCE else 2
        with (
            failing(operation, "InvalidParameterValueException", first=first, last=first) as seen,
            pytest.raises(PlatformError, match="demo runs as it did before"),
        ):
            with_weights.deploy(small, "demo", changed, quiet)
        assert len(seen) >= first, operation
        assert everything() | {"definition": [_definition()]} == before, operation
        (group, _) = boto3.client("logs").describe_log_groups()["logGroups"]
        assert group["retentionInDays"] == 14, operation
        assert "a" not in boto3.client("lambda").get_function(FunctionName="demo-f0")["Tags"], operation


def _stored(bundle: Bundle) -> StoredFile:
    """Weights in the bucket, which a function needs a right to read."""
    path = bundle.root / bundle.manifest.graphs[0].files[0].path
    return StoredFile(path, "mopar/demo/weights/a", path.stat().st_size, "0" * 64)


def test_a_function_that_dies_in_its_initialisation_is_named(small: Bundle, aws: Aws) -> None:
    aws.errors["demo-f1"] = {
        "errorType": "Runtime.ExitError",
        "errorMessage": "RequestId: 1 Error: Runtime exited with error: signal: killed",
    }
    with pytest.raises(PlatformError) as caught:
        platform().deploy(small, "demo", OPTIONS, quiet)
    assert str(caught.value) == (
        "function f1 does not start: Runtime.ExitError RequestId: 1 Error: Runtime exited with error: signal: killed: "
        "its memory, 400 MB, is too small: plan again, or see its log /aws/lambda/demo-f1"
    )
    assert {kind for kind, there in everything().items() if there} == set()


def test_a_failed_state_is_told_with_its_reason(small: Bundle, aws: Aws) -> None:
    aws.answers["GetFunctionConfiguration"] = lambda _: {
        "FunctionName": "demo-f0", "State": "Failed", "StateReason": "the image's architecture does not fit",
    }  # fmt: skip
    with pytest.raises(PlatformError, match=r"^function f0 failed: the image's architecture does not fit$"):
        platform().deploy(small, "demo", OPTIONS, quiet)
    assert everything()["functions"] == []


@pytest.mark.usefixtures("aws")
def test_a_new_role_is_waited_for_and_no_longer_than_the_deadline(small: Bundle) -> None:
    says = "The role defined for the function cannot be assumed by Lambda."
    with failing("CreateFunction", "InvalidParameterValueException", says, last=1):
        assert platform().deploy(small, "demo", OPTIONS, quiet).ready
    platform().remove("demo", OPTIONS, quiet)
    short = replace(OPTIONS, ready_s=0.1)
    with (
        failing("CreateFunction", "InvalidParameterValueException", says),
        pytest.raises(PlatformError, match=r"function f0: its role cannot be assumed.*lambda.amazonaws.com \(tried"),
    ):
        platform().deploy(small, "demo", short, quiet)


@pytest.mark.usefixtures("aws")
def test_what_is_somebody_elses_is_left_alone(small: Bundle) -> None:
    platform().deploy(small, "demo", OPTIONS, quiet)
    arn = boto3.client("lambda").get_function(FunctionName="demo-f1")["Configuration"]["FunctionArn"]
    boto3.client("lambda").untag_resource(Resource=arn, TagKeys=["mopar:deployment"])
    before = everything()
    with pytest.raises(UsageError, match=r"function demo-f1 has no tag mopar:deployment=demo.*choose another --name"):
        platform("2").deploy(small, "demo", OPTIONS, quiet)
    assert everything() == before


@pytest.mark.usefixtures("aws")
def test_rules_and_log_groups_of_others_stay_as_they_are(small: Bundle) -> None:
    other = {"ID": "other", "Status": "Enabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 9}}
    client = boto3.client("s3")
    client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [other]})
    boto3.client("logs").create_log_group(logGroupName="/aws/lambda/demo-f0")
    platform().deploy(small, "demo", STATES, quiet)
    platform().remove("demo", STATES, quiet)
    assert client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"] == [other]
    assert everything()["logs"] == ["/aws/lambda/demo-f0"]


def test_more_concurrency_than_the_account_has_is_told(small: Bundle, aws: Aws) -> None:
    """New accounts have less of it."""
    aws.limits |= {"ConcurrentExecutions": 110, "UnreservedConcurrentExecutions": 110}
    with pytest.raises(PlatformError, match=r"reserved-concurrency 6 for 2 functions needs 12 .* has 10 to reserve"):
        platform().deploy(small, "demo", replace(OPTIONS, reserved_concurrency=6), quiet)
    platform().deploy(small, "demo", replace(OPTIONS, reserved_concurrency=5), quiet)
    aws.limits |= {"UnreservedConcurrentExecutions": 100}
    platform().deploy(small, "demo", replace(OPTIONS, reserved_concurrency=5), quiet)
    found = boto3.client("lambda").get_function_concurrency(FunctionName="demo-f0")
    assert found["ReservedConcurrentExecutions"] == 5
    aws.limits |= {"TotalCodeSize": 100}
    with pytest.raises(PlatformError, match="the archives have 0 MB, and the account has room for 0 MB"):
        platform().deploy(small, "demo", OPTIONS, quiet)


@pytest.mark.usefixtures("aws")
def test_what_cannot_be_removed_is_named_and_the_rest_is(small: Bundle) -> None:
    platform().deploy(small, "demo", OPTIONS, quiet)
    with failing("DeleteFunction", "AccessDeniedException", FunctionName="demo-f1"):
        removed = platform().remove("demo", OPTIONS, quiet)
    assert removed.left == ("function demo-f1",)
    assert everything()["functions"] == ["demo-f1"]
    assert platform().remove("demo", OPTIONS, quiet).left == ()


def _definition() -> str:
    client = boto3.client("stepfunctions")
    (machine,) = client.list_state_machines()["stateMachines"]
    found: str = client.describe_state_machine(stateMachineArn=machine["stateMachineArn"])["definition"]
    return found


def _states(definition: str) -> list[dict[str, Any]]:
    return list(json.loads(definition)["States"].values())
