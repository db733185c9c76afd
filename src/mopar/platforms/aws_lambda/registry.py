"""Images in Amazon's registry (ECR): a repository for each deployment, with a tag for each function's contents."""

import base64
import re
from collections.abc import Mapping

import msgspec

from mopar.platforms.aws_lambda.account import Account, Nothing
from mopar.platforms.aws_lambda.changes import Changes
from mopar.platforms.aws_lambda.naming import DEPLOYMENT_TAG
from mopar.platforms.aws_lambda.stack import Member, Stack
from mopar.platforms.container.command import Commands
from mopar.platforms.container.engine import Engine
from mopar.platforms.container.labels import labels_of
from mopar.platforms.deploying import Tell
from mopar.platforms.images import GivenImages
from mopar.types import PlatformError, UsageError

_ECR = "ecr"
_HOST = re.compile(r"([0-9]{12})\.dkr\.ecr(-fips)?\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_PLATFORMS = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}
_TAG_DIGITS = 16


class _Login(msgspec.Struct, rename="camel"):
    authorization_token: str


class _Logins(msgspec.Struct, rename="camel"):
    authorization_data: list[_Login]


class _Repository(msgspec.Struct, rename="camel"):
    repository_arn: str


class _Repositories(msgspec.Struct, rename="camel"):
    repositories: list[_Repository]


class _Tag(msgspec.Struct, rename="pascal"):
    key: str
    value: str


class _Tags(msgspec.Struct, rename="camel"):
    tags: list[_Tag] = []


def check_registry(registry: str, region: str) -> None:
    """Raise UsageError where Lambda takes no images of a registry: it must be Amazon's, in the functions' region."""
    host = registry.partition("/")[0]
    found = _HOST.fullmatch(host)
    if found is None:
        raise UsageError(
            f"--registry {registry!r}: Lambda takes images of Amazon's registry, such as "
            f"123456789012.dkr.ecr.{region}.amazonaws.com/team"
        )
    if found[3] != region:
        raise UsageError(f"--registry {registry} is in {found[3]}, and the functions in {region}: name one there")


class RegistryImages:
    """Builds images, and sends them.

    Args:
        account: of the registry.
        tell: is told each stage.
    """

    def __init__(self, account: Account, tell: Tell) -> None:
        self._account = account
        self._tell = tell

    def push(self, stack: Stack, changes: Changes) -> Mapping[str, str]:
        """Send the images that the registry does not have yet.

        Returns:
            Function -> reference of its image; nothing for archives.

        Raises:
            UsageError: there is no registry to send them to.
            PlatformError: an image cannot be built or sent.
        """
        members = [member for member in stack.members if member.package.kind == "image"]
        options = stack.options
        if not members:
            return {}
        if options.images is not None:
            return GivenImages(options.images).chosen([member.function for member in members])
        check_registry(options.registry, self._account.region)
        repository = _repository_name(options.registry, stack.name)
        if find_repository(self._account, options.registry, stack.name) is None:
            what = f"repository {repository}"
            changes.note(what, lambda: delete_repository(self._account, repository))
            tags = [{"Key": key, "Value": value} for key, value in stack.tags().items()]
            self._account.ask(_ECR, "create_repository", what, Nothing, repositoryName=repository, tags=tags)
        missing = [member for member in members if not self._has(repository, member)]
        if missing:
            engine = Engine(Commands(options.engine, options.runtime))
            self._log_in(engine, options.registry.partition("/")[0])
            for member in missing:
                self._send(engine, stack, member, repository, changes)
        host = options.registry.partition("/")[0]
        return {member.function: f"{host}/{repository}:{_tag(member)}" for member in members}

    def _send(self, engine: Engine, stack: Stack, member: Member, repository: str, changes: Changes) -> None:
        reference = f"{stack.options.registry.partition('/')[0]}/{repository}:{_tag(member)}"
        platform = _PLATFORMS[member.package.architecture]
        self._tell(f"building the image of {member.function}")
        try:
            engine.build(member.package.path, "Containerfile", reference, labels_of(stack.name), platform)
            changes.note(f"image {_tag(member)} of repository {repository}", lambda: self._delete(repository, member))
            self._tell(f"pushing the image of {member.function}")
            engine.push(reference)
        except PlatformError as cause:
            raise PlatformError(f"the image of {member.function} cannot be sent to {reference}: {cause}") from cause

    def _has(self, repository: str, member: Member) -> bool:
        image, what = [{"imageTag": _tag(member)}], f"repository {repository}"
        return (
            self._account.find(_ECR, "describe_images", what, Nothing, repositoryName=repository, imageIds=image)
            is not None
        )

    def _delete(self, repository: str, member: Member) -> None:
        image, what = [{"imageTag": _tag(member)}], f"repository {repository}"
        self._account.ask(_ECR, "batch_delete_image", what, Nothing, repositoryName=repository, imageIds=image)

    def _log_in(self, engine: Engine, host: str) -> None:
        found = self._account.ask(_ECR, "get_authorization_token", "the registry's token", _Logins)
        if not found.authorization_data:
            raise PlatformError("the registry gives no token: look at the rights of --profile")
        user, _, password = base64.b64decode(found.authorization_data[0].authorization_token).decode().partition(":")
        engine.log_in(host, user, password)


def find_repository(account: Account, registry: str, deployment: str) -> str | None:
    """The name of a deployment's repository, if there is one.

    Raises:
        UsageError: there is one of that name, and it is not this deployment's.
    """
    name = _repository_name(registry, deployment)
    what = f"repository {name}"
    found = account.find(_ECR, "describe_repositories", what, _Repositories, repositoryNames=[name])
    if found is None or not found.repositories:
        return None
    arn = found.repositories[0].repository_arn
    tags = account.ask(_ECR, "list_tags_for_resource", what, _Tags, resourceArn=arn).tags
    if not any(tag.key == DEPLOYMENT_TAG and tag.value == deployment for tag in tags):
        raise UsageError(
            f"repository {name} has no tag {DEPLOYMENT_TAG}={deployment}, so it is not this deployment's: choose "
            "another --name or --registry"
        )
    return name


def delete_repository(account: Account, name: str) -> None:
    """Delete a repository with its images. Raises PlatformError."""
    account.ask(_ECR, "delete_repository", f"repository {name}", Nothing, repositoryName=name, force=True)


def _repository_name(registry: str, deployment: str) -> str:
    prefix = registry.rstrip("/").partition("/")[2]
    return f"{prefix}/{deployment}" if prefix else deployment


def _tag(member: Member) -> str:
    return f"{member.function.lower()}-{member.package.sha256[:_TAG_DIGITS]}"
