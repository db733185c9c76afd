"""New versions of a deployment's functions, beside those that answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from mopar.platforms.aws_lambda.account import Account
from mopar.platforms.aws_lambda.bucket import DeploymentBucket
from mopar.platforms.aws_lambda.changes import Changes
from mopar.platforms.aws_lambda.functions import LambdaFunctions
from mopar.platforms.aws_lambda.limits import DIRECT_ZIP_BYTES
from mopar.platforms.aws_lambda.logs import LogGroupsOf
from mopar.platforms.aws_lambda.naming import log_group_name, role_name
from mopar.platforms.aws_lambda.policies import FUNCTION_TRUST
from mopar.platforms.aws_lambda.roles import LambdaRoles
from mopar.platforms.aws_lambda.stack import Member, Stack
from mopar.platforms.aws_lambda.wire import FoundFunction
from mopar.platforms.deploying import Tell


@dataclass(frozen=True, slots=True)
class Version:
    """A function's version that was made, and what its alias stood for before: nothing where it is empty."""

    member: Member
    number: str
    earlier: str


class VersionMaker:
    """Makes versions.

    Args:
        account: that they are made in.
        stack: of the deployment.
        changes: gets all that is made.
        tell: is told each stage.
    """

    def __init__(self, account: Account, stack: Stack, changes: Changes, tell: Tell) -> None:
        self._account = account
        self._stack = stack
        self._changes = changes
        self._tell = tell
        self._functions = LambdaFunctions(account, stack.options.ready_s)
        self._roles = LambdaRoles(account, stack.name)
        self._logs = LogGroupsOf(account, stack.name)
        self._bucket = DeploymentBucket(account, stack.options.bucket, stack.name)
        self.sent: list[str] = []
        """Keys of archives that Lambda has copied, and nobody needs any more."""

    def make(
        self, member: Member, there: FoundFunction | None, image: str, variables: Mapping[str, str] | None = None
    ) -> Version:
        """Make a function, or change it, and publish a version that does not answer yet.

        Args:
            member: the function.
            there: it, where it exists.
            image: its image's reference; empty for an archive.
            variables: of its environment, beside those of its package.

        Raises:
            PlatformError: it was refused, or failed.
        """
        stack, name = self._stack, member.name
        tags = stack.tags(member.function)
        role = stack.options.role or self._put_role(member)
        self._logs.put(log_group_name(name), stack.options.log_retention_days, tags, self._changes)
        self._bucket.send_weights(member.package, self._changes)
        code, settings = self._code(member, image), self._settings(member, role, variables or {})
        earlier, known = "", frozenset[str]()
        if there is None:
            self._tell(f"creating {name}")
            self._changes.note(f"function {name}", partial(self._functions.delete, name))
            self._functions.create(member, code, settings, tags)
        else:
            self._tell(f"updating {name}")
            earlier = self._functions.alias(name, stack.options.alias)
            known = frozenset(self._functions.versions(name))
            self._functions.update(member, code, settings)
            self._retag(there, tags)
        self._reserve(member, there)
        number = self._functions.publish(member)
        if there is not None and number not in known:
            self._changes.note(f"version {number} of {name}", partial(self._functions.delete, name, number))
        return Version(member, number, earlier)

    def _put_role(self, member: Member) -> str:
        account = self._account
        return self._roles.put(
            role_name(member.name, account.region),
            FUNCTION_TRUST,
            self._stack.statements(member, account.place, self._stack.options.bucket),
            self._stack.tags(member.function),
            self._changes,
        )

    def _code(self, member: Member, image: str) -> dict[str, object]:
        package = member.package
        if package.kind == "image":
            return {"ImageUri": image}
        if package.packed_bytes <= DIRECT_ZIP_BYTES:
            return {"ZipFile": package.path.read_bytes()}
        self._tell(f"sending the archive of {member.name}")
        self.sent.append(self._bucket.send(package, self._changes))
        return {"S3Bucket": self._stack.options.bucket, "S3Key": self.sent[-1]}

    def _settings(self, member: Member, role: str, variables: Mapping[str, str]) -> dict[str, object]:
        options, package = self._stack.options, member.package
        snap_start = {"ApplyOn": "PublishedVersions" if options.snap_start else "None"}
        zipped = {"Runtime": package.runtime, "Handler": package.handler, "SnapStart": snap_start}
        return {
            "Role": role,
            "MemorySize": package.memory_mib,
            "Timeout": member.timeout_s,
            "Description": f"function {member.function} of {self._stack.name}",
            "Environment": {"Variables": {**package.environment, **variables}},
            "EphemeralStorage": {"Size": options.ephemeral_mib},
            **(zipped if package.kind == "zip" else {}),
        }

    def _retag(self, there: FoundFunction, tags: Mapping[str, str]) -> None:
        arn = there.configuration.function_arn
        if there.tags == tags:
            return
        added = tuple(key for key in tags if key not in there.tags)
        gone = tuple(key for key in there.tags if key not in tags)
        self._changes.note(f"tags of {arn}", partial(self._functions.tag, arn, there.tags, added))
        self._functions.tag(arn, tags, gone)

    def _reserve(self, member: Member, there: FoundFunction | None) -> None:
        earlier = there.concurrency.reserved_concurrent_executions if there is not None else 0
        wanted = self._stack.options.reserved_concurrency
        if wanted != earlier:
            take_back = partial(self._functions.reserve, member.name, earlier)
            self._changes.note(f"reserved concurrency of {member.name}", take_back)
            self._functions.reserve(member.name, wanted)
