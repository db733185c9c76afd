"""Images of functions, built by an engine and sent to Amazon's registry."""

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from mopar.bundle import Bundle
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.platform import AwsLambda
from mopar.types import PlatformError, UsageError
from tests.bundle.plans import built
from tests.platforms.aws_lambda.conftest import REGION
from tests.platforms.aws_lambda.deployed import archives, everything, quiet
from tests.platforms.aws_lambda.faults import failing

HOST = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"
_ENGINE = """#!/bin/sh
echo "$@" >> "$0.words"
[ "$1" = login ] && cat > "$0.password"
[ -e "$0.refuses-$1" ] && echo "Error: it $1es not" >&2 && exit 1
exit 0
"""


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A container engine that notes its words."""
    path = tmp_path / "docker"
    path.write_text(_ENGINE)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(scope="session")
def small(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(reference("skip"), tmp_path_factory.mktemp("lambda") / "bundle", 2)


def options(engine: Path) -> LambdaOptions:
    return LambdaOptions(
        region=REGION,
        ready_s=2.0,
        engine=str(engine),
        registry=f"{HOST}/team",
        architecture="arm64",
        functions_only=True,
    )


def images(sha256: str = "ab" * 32) -> AwsLambda:
    return AwsLambda(archives(kind="image", runtime="", handler="", sha256=sha256))


def words(engine: Path) -> list[list[str]]:
    return [line.split() for line in (engine.parent / "docker.words").read_text().splitlines()]


@pytest.mark.usefixtures("aws")
def test_images_are_built_and_pushed(small: Bundle, engine: Path) -> None:
    assert images().deploy(small, "demo", options(engine), quiet).ready
    login, *rest = words(engine)
    assert login == ["login", "--username", "AWS", "--password-stdin", HOST]
    password = (engine.parent / "docker.password").read_text()
    assert password
    assert password not in (engine.parent / "docker.words").read_text()
    tag = f"{HOST}/team/demo:f0-{'ab' * 8}"
    assert [line[0] for line in rest] == ["build", "push", "build", "push"]
    assert rest[0][rest[0].index("--tag") + 1] == rest[1][1] == tag
    assert rest[0][rest[0].index("--platform") + 1] == "linux/arm64"
    code = boto3.client("lambda").get_function(FunctionName="demo-f0")["Code"]
    assert code["ImageUri"] == tag
    assert images().remove("demo", options(engine), quiet).left == ()
    assert {kind for kind, there in everything().items() if there} == set()


@pytest.mark.usefixtures("aws")
def test_an_image_that_cannot_be_pushed_leaves_nothing(small: Bundle, engine: Path) -> None:
    (engine.parent / "docker.refuses-push").touch()
    with pytest.raises(
        PlatformError, match=r"^the image of f0 cannot be sent to .*team/demo:f0-.*docker push: it push"
    ):
        images().deploy(small, "demo", options(engine), quiet)
    assert {kind for kind, there in everything().items() if there} == set()


@pytest.mark.usefixtures("aws")
def test_a_repository_of_somebody_else_is_left_alone(small: Bundle, engine: Path) -> None:
    boto3.client("ecr").create_repository(repositoryName="team/demo")
    with pytest.raises(UsageError, match="repository team/demo has no tag mopar:deployment=demo"):
        images().deploy(small, "demo", options(engine), quiet)


@pytest.mark.usefixtures("aws")
def test_an_archive_does_not_become_an_image(small: Bundle, engine: Path) -> None:
    AwsLambda(archives()).deploy(small, "demo", options(engine), quiet)
    with pytest.raises(UsageError, match="function demo-f0 is of the kind zip, and Lambda cannot make it image"):
        images().deploy(small, "demo", options(engine), quiet)


@pytest.mark.usefixtures("aws")
def test_images_that_exist_need_no_engine(small: Bundle, engine: Path, tmp_path: Path) -> None:
    path = tmp_path / "images.json"
    path.write_text('{"f0": "%s/a:1", "f1": "%s/b:1"}' % (HOST, HOST))  # noqa: UP031 - braces
    with failing("CreateFunction", "Never", first=100) as seen:
        images().deploy(small, "demo", replace(options(engine), images=path, engine=None), quiet)
    assert [request["Code"]["ImageUri"] for request in seen] == [f"{HOST}/a:1", f"{HOST}/b:1"]
