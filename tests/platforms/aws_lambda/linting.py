"""Templates and policies as Amazon's own linters see them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.platforms.aws_lambda.conftest import NEED_AWS, REGION

_PARLIAMENT = """
import json, sys, parliament
found = {name: parliament.analyze_policy_string(text).findings for name, text in json.load(sys.stdin).items()}
print(json.dumps([f"{name}: {item}" for name, items in found.items() for item in items]))
"""
_VALUES = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": "123456789012",
    "TensorsBucket": "tensors",
}


def findings(document: str) -> list[str]:
    """All that cfn-lint says of a template, of whatever severity."""
    from cfnlint.api import ManualArgs, lint

    config = ManualArgs(regions=[REGION], include_checks=["I"])
    return sorted(str(found) for found in lint(document, config=config))


def translated(folder: Path) -> dict[str, Any]:
    """A package's template as CloudFormation gets it, its files in a bucket; a state machine has its definition."""
    import boto3
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    document = msgspec.yaml.decode((folder / "template.yaml").read_bytes())
    for resource in document["Resources"].values():
        properties = resource["Properties"]
        if "CodeUri" in properties:
            assert (folder / properties["CodeUri"]).is_file()
            properties["CodeUri"] = "s3://bucket/key"
        if "DefinitionUri" in properties:
            properties["DefinitionUri"] = "s3://bucket/key"
        if properties.get("PackageType") == "Image" and "ImageUri" not in properties:
            assert (folder / resource["Metadata"]["DockerContext"] / resource["Metadata"]["Dockerfile"]).is_file()
            properties["ImageUri"] = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/demo:1"
    session = boto3.Session(region_name=REGION)
    found: dict[str, Any] = Translator(managed_policy_map={}, sam_parser=Parser(), boto_session=session).translate(
        document, parameter_values={"AWS::Region": REGION}
    )
    for resource in found["Resources"].values():
        if resource["Properties"].pop("DefinitionS3Location", None):
            definition = (folder / "states.asl.json").read_text().replace("${Partition}", "aws")
            resource["Properties"]["Definition"] = json.loads(definition)
    return found


def policy_findings(document: Mapping[str, Any]) -> list[str]:
    """All that parliament says of the policies of a template's roles; in a process, as it leaves files open."""
    policies = {
        f"{name} {policy['PolicyName']}": json.dumps(_resolved(policy["PolicyDocument"]))
        for name, resource in document["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
        for policy in resource["Properties"]["Policies"]
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PARLIAMENT],
        input=json.dumps(policies),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[str] = json.loads(done.stdout)
    return found


def sam() -> str:
    """The SAM CLI; the test is skipped where there is none."""
    beside = Path(sys.executable).parent
    for found in (shutil.which("sam"), beside / "sam", beside.parent / "share/sam/bin/sam"):
        if found is not None and Path(found).is_file():
            return str(found)
    if os.environ.get(NEED_AWS) == "1":
        pytest.fail("the SAM CLI is not there: make slow")
    pytest.skip("needs the SAM CLI: make slow")


def _resolved(value: Any) -> Any:
    """Texts with their placeholders filled in."""
    if isinstance(value, Mapping):
        if set(value) == {"Fn::Sub"}:
            text: str = value["Fn::Sub"]
            for name, known in _VALUES.items():
                text = text.replace(f"${{{name}}}", known)
            return text
        return {key: _resolved(item) for key, item in value.items()}
    return [_resolved(item) for item in value] if isinstance(value, list) else value
