"""What deployments consist of, as moto tells."""

import io
import zipfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3

from mopar.bundle import Bundle
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.platform import AwsLambda


def quiet(_stage: str) -> None:
    """Of a Tell."""


def archives(text: str = "1", **fields: Any) -> Callable[..., tuple[FunctionPackage, ...]]:
    """A packager whose archives hold a text; ``fields`` are changed in all packages."""

    def packager(
        bundle: Bundle, _name: str, into: Path, options: LambdaOptions, _tell: object
    ) -> tuple[FunctionPackage, ...]:
        sizes = {function.name: function.memory_mib for function in bundle.manifest.plan.functions}
        sizes |= {"entry": options.entry_mib} if options.by_entry else {}
        return tuple(_package(name, memory_mib, into, options, text, fields) for name, memory_mib in sizes.items())

    return packager


def _package(
    name: str, memory_mib: int, into: Path, options: LambdaOptions, text: str, fields: Mapping[str, Any]
) -> FunctionPackage:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(zipfile.ZipInfo("function.json"), f"{name} {text}")
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{name}.zip"
    path.write_bytes(data.getvalue())
    values: dict[str, Any] = {
        "function": name,
        "kind": "zip",
        "path": path,
        "packed_bytes": len(data.getvalue()),
        "unpacked_bytes": 10,
        "sha256": sha256(data.getvalue()).hexdigest(),
        "architecture": options.architecture,
        "runtime": "python3.12",
        "handler": "bootstrap.handler",
        "environment": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/bootstrap"},
        "memory_mib": memory_mib,
    }
    return FunctionPackage(**{**values, **fields})


def platform(text: str = "1", **fields: Any) -> AwsLambda:
    return AwsLambda(archives(text, **fields))


def everything() -> dict[str, list[str]]:
    """All that an account has, by kind; the empty bucket is none of it."""
    functions = boto3.client("lambda").list_functions()["Functions"]
    versions = [
        f"{item['FunctionName']}:{version['Version']}"
        for item in functions
        for version in boto3.client("lambda").list_versions_by_function(FunctionName=item["FunctionName"])["Versions"]
    ]
    buckets = boto3.client("s3").list_buckets()["Buckets"]
    return {
        "functions": sorted(item["FunctionName"] for item in functions),
        "versions": sorted(versions),
        "aliases": sorted(f"{name} {version}" for name, version in aliases().items()),
        "roles": sorted(role["RoleName"] for role in boto3.client("iam").list_roles()["Roles"]),
        "policies": sorted(map(str, policies().items())),
        "logs": sorted(group["logGroupName"] for group in boto3.client("logs").describe_log_groups()["logGroups"]),
        "machines": sorted(
            found["name"] for found in boto3.client("stepfunctions").list_state_machines()["stateMachines"]
        ),
        "objects": sorted(
            item["Key"]
            for bucket in buckets
            for item in boto3.client("s3").list_objects_v2(Bucket=bucket["Name"]).get("Contents", [])
        ),
        "repositories": sorted(
            found["repositoryName"] for found in boto3.client("ecr").describe_repositories()["repositories"]
        ),
    }


def aliases(alias: str = "live") -> dict[str, str]:
    """Function -> the version that its alias stands for."""
    client = boto3.client("lambda")
    found = {}
    for item in client.list_functions()["Functions"]:
        name = item["FunctionName"]
        for there in client.list_aliases(FunctionName=name)["Aliases"]:
            if there["Name"] == alias:
                found[name] = there["FunctionVersion"]
    return found


def policies() -> dict[str, Any]:
    """Role -> its policy."""
    client = boto3.client("iam")
    return {
        role["RoleName"]: client.get_role_policy(RoleName=role["RoleName"], PolicyName="mopar")["PolicyDocument"]
        for role in client.list_roles()["Roles"]
    }
