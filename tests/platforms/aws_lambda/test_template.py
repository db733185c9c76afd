"""What ``mopar package`` writes: a template that Amazon's linters find nothing in, with the least rights."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mopar.bundle import Bundle
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.platform import AwsLambda
from mopar.platforms.aws_lambda.stack import stack_of
from mopar.types import PlatformError
from tests.bundle.plans import built
from tests.platforms.aws_lambda.deployed import archives, quiet
from tests.platforms.aws_lambda.linting import findings, policy_findings, sam, translated

PLAIN = LambdaOptions(snap_start=True)
STATES = LambdaOptions(
    orchestration="step-functions",
    tag=("team=vision", "cost center=7"),
    reserved_concurrency=5,
    provisioned_concurrency=2,
    ephemeral_mib=1024,
    architecture="arm64",
    timeout_s=120,
)
ENTRY = LambdaOptions(
    orchestration="entry", bucket="the-bucket", reserved_concurrency=5, timeout_s=400, architecture="arm64"
)
GIVEN = LambdaOptions(
    orchestration="step-functions",
    bucket="the-bucket",
    role="arn:aws:iam::123456789012:role/functions",
    states_role="arn:aws:iam::123456789012:role/machines",
    weights_in_bucket=True,
)


@pytest.fixture(scope="module")
def bundle(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(reference("towers"), tmp_path_factory.mktemp("lambda") / "bundle", 5)


def mixed(
    bundle: Bundle, name: str, into: Path, options: LambdaOptions, tell: Callable[[str], None]
) -> tuple[FunctionPackage, ...]:
    """Archives, and an image of the second function."""
    packages = archives()(bundle, name, into, options, tell)
    context = into / "context"
    context.mkdir()
    (context / "Containerfile").write_text("FROM scratch\n")
    image = replace(packages[1], kind="image", path=context, runtime="", handler="", environment={})
    return (packages[0], image, *packages[2:])


def written(bundle: Bundle, into: Path, options: LambdaOptions) -> tuple[Path, dict[str, Any]]:
    """A package and its template."""
    platform = AwsLambda(archives() if options.snap_start else mixed)
    platform.package(bundle, "demo", into, options, quiet)
    document: dict[str, Any] = msgspec.yaml.decode((into / "template.yaml").read_bytes())
    return into, document


@pytest.mark.parametrize(
    "options",
    [PLAIN, STATES, ENTRY, pytest.param(GIVEN, marks=pytest.mark.slow)],
    ids=["plain", "states", "entry", "given"],
)
@pytest.mark.usefixtures("aws")
def test_linters_find_nothing(options: LambdaOptions, bundle: Bundle, tmp_path: Path) -> None:
    """In the template as it is written, and as CloudFormation gets it, the state machine's definition included."""
    folder, _ = written(bundle, tmp_path / "package", options)
    document = translated(folder)
    assert findings((folder / "template.yaml").read_text()) == []
    assert findings(msgspec.json.encode(document).decode()) == []
    assert policy_findings(document) == []


@pytest.mark.usefixtures("aws")
def test_the_linters_see_what_is_wrong(bundle: Bundle, tmp_path: Path) -> None:
    document = translated(written(bundle, tmp_path / "package", STATES)[0])
    resources = document["Resources"]
    resources["F0Function"]["Properties"]["Timeout"] = 901
    resources["StateMachine"]["Properties"]["Definition"]["States"]["c0 f0 failed"] = {"Type": "Failed"}
    (policy,) = resources["F0Role"]["Properties"]["Policies"]
    policy["PolicyDocument"]["Statement"][0]["Action"] = ["logs:CreateLogStreams"]
    said = " ".join(findings(msgspec.json.encode(document).decode()))
    assert "901 is greater than the maximum of 900" in said
    assert "E3601" in said
    assert "UNKNOWN_ACTION" in " ".join(policy_findings(document))


@pytest.mark.slow
@pytest.mark.parametrize("options", [PLAIN, STATES, ENTRY, GIVEN], ids=["plain", "states", "entry", "given"])
def test_the_sam_command_line_takes_it(options: LambdaOptions, bundle: Bundle, tmp_path: Path) -> None:
    folder, _ = written(bundle, tmp_path / "package", options)
    done = subprocess.run(
        [sam(), "validate", "--lint"],
        cwd=folder,
        env={**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout


def test_each_role_has_the_rights_it_needs_and_no_others(bundle: Bundle, tmp_path: Path) -> None:
    _, plain = written(bundle, tmp_path / "plain", PLAIN)
    _, states = written(bundle, tmp_path / "states", STATES)
    place = "${AWS::Region}:${AWS::AccountId}"
    log = f"arn:${{AWS::Partition}}:logs:{place}:log-group:/aws/lambda/demo-f0:*"
    tensors = "arn:${AWS::Partition}:s3:::${TensorsBucket}/mopar/demo/tensors/*"
    own_log = (["logs:CreateLogStream", "logs:PutLogEvents"], [log])
    assert _rights(plain, "F0Role") == {"WriteItsOwnLog": own_log}
    assert _rights(states, "F0Role") == {
        "WriteItsOwnLog": own_log,
        "ReadTensors": (["s3:GetObject"], [tensors]),
        "WriteTensors": (["s3:PutObject"], [tensors]),
    }
    functions = [f"arn:${{AWS::Partition}}:lambda:{place}:function:demo-f{number}:*" for number in range(5)]
    assert _rights(states, "StateMachineRole") == {"CallItsFunctions": (["lambda:InvokeFunction"], functions)}
    kinds = {resource["Type"] for document in (plain, states) for resource in document["Resources"].values()}
    assert kinds == {
        "AWS::IAM::Role", "AWS::Logs::LogGroup", "AWS::S3::Bucket", "AWS::Serverless::Function",
        "AWS::Serverless::StateMachine",
    }  # fmt: skip


@pytest.mark.usefixtures("aws")
def test_an_entry_function_calls_versions_and_has_no_other_right(bundle: Bundle, tmp_path: Path) -> None:
    """A new version of any function makes a new one of the entry, or its alias would lead to old ones."""
    folder, document = written(bundle, tmp_path / "package", ENTRY)
    place = "${AWS::Region}:${AWS::AccountId}"
    called = [f"arn:${{AWS::Partition}}:lambda:{place}:function:demo-f{number}:*" for number in range(5)]
    assert _rights(document, "EntryRole") == {
        "WriteItsOwnLog": (
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [f"arn:${{AWS::Partition}}:logs:{place}:log-group:/aws/lambda/demo-entry:*"],
        ),
        "CallItsFunctions": (["lambda:InvokeFunction"], called),
    }
    assert document["Resources"]["EntryFunction"]["Properties"]["Timeout"] == 900, "five calls of 400 s, one by one"
    resources = translated(folder)["Resources"]
    text, names = resources["EntryFunction"]["Properties"]["Environment"]["Variables"]["MOPAR_FUNCTIONS"]["Fn::Sub"]
    assert json.loads(text)["functions"]["f3"] == ["${F3}"]
    assert {resources[item["Ref"]]["Type"] for item in names.values()} == {"AWS::Lambda::Version"}
    other, _ = written(bundle, tmp_path / "other", replace(ENTRY, ephemeral_mib=1024))
    versions = [
        {name for name, item in translated(written)["Resources"].items() if item["Type"] == "AWS::Lambda::Version"}
        for written in (folder, other)
    ]
    assert len(versions[0]) == 6
    assert not versions[0] & versions[1]


def test_every_statement_is_explained(bundle: Bundle, tmp_path: Path) -> None:
    page = Path("docs/platforms/aws-lambda.md").read_text()
    _, document = written(bundle, tmp_path / "package", STATES)
    names = {"ReadItsWeights", *_rights(document, "F0Role"), *_rights(document, "StateMachineRole")}
    assert {name for name in names if f"| `{name}` |" not in page} == set()


def test_own_roles_and_a_given_bucket_leave_none_to_be_made(bundle: Bundle, tmp_path: Path) -> None:
    _, document = written(bundle, tmp_path / "package", GIVEN)
    kinds = [resource["Type"] for resource in document["Resources"].values()]
    assert "AWS::IAM::Role" not in kinds
    assert "AWS::S3::Bucket" not in kinds


def test_packages_of_the_same_bundle_are_the_same(bundle: Bundle, tmp_path: Path) -> None:
    first, second = (written(bundle, tmp_path / name, STATES)[0] for name in ("first", "second"))
    files = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert Path("states.asl.json") in files
    for file in files:
        if file.name != "mopar-package.json":  # it names its folder
            assert (first / file).read_bytes() == (second / file).read_bytes(), file


def test_the_template_alone(bundle: Bundle, tmp_path: Path) -> None:
    folder, _ = written(bundle, tmp_path / "package", replace(STATES, template_only=True))
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "mopar-package.json", "states.asl.json", "template.yaml",
    ]  # fmt: skip


def _rights(document: dict[str, Any], role: str) -> dict[str, tuple[list[str], list[str]]]:
    (policy,) = document["Resources"][role]["Properties"]["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    assert {statement["Effect"] for statement in statements} == {"Allow"}
    return {
        statement["Sid"]: (statement["Action"], [item["Fn::Sub"] for item in statement["Resource"]])
        for statement in statements
    }


@pytest.mark.parametrize(("direct", "fits"), [(True, 100), (False, 40)])
def test_an_entry_function_has_room_for_the_addresses_of_those_that_it_calls(
    direct: bool, fits: int, bundle: Bundle
) -> None:
    """A template has ARNs of 72 letters, and what deploys directly names of 14; each with 10 more."""
    one = FunctionPackage("entry", "zip", Path(), 9, 9, "0" * 64, "x86_64", "", "", memory_mib=512)
    packages = [replace(one, function=f"f{number}") for number in range(2 * fits)]
    assert stack_of(bundle, "demo", [*packages[:fits], one], ENTRY, direct=direct).entry
    with pytest.raises(
        PlatformError, match=r"function entry has \d+ bytes of environment .*: plan with --max-functions"
    ):
        stack_of(bundle, "demo", [*packages, one], ENTRY, direct=direct)
    emulating = replace(ENTRY, emulate=True, bucket="")
    assert stack_of(bundle, "demo", [*packages, one], emulating, direct=False).entry, "nothing is sent to Lambda"
