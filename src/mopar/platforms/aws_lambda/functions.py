"""Functions of Lambda: made, changed, published, tried and removed."""

import time
from collections.abc import Mapping

import msgspec

from mopar.platforms.aws_lambda.account import Account, Nothing, when_role_is_known
from mopar.platforms.aws_lambda.naming import log_group_name
from mopar.platforms.aws_lambda.stack import Member
from mopar.platforms.aws_lambda.wire import (
    Alias,
    FoundFunction,
    FunctionConfiguration,
    FunctionFailure,
    FunctionList,
    Provisioned,
)
from mopar.types import PlatformError

_LAMBDA = "lambda"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 3.0
_LATEST = "$LATEST"
_READY = frozenset({"Active", "Inactive"})
"""An inactive function is one that was idle for long: the next call wakes it up."""


class LambdaFunctions:
    """Functions of an account.

    Args:
        account: their account.
        ready_s: how long each step may take until a function is ready.
    """

    def __init__(self, account: Account, ready_s: float) -> None:
        self._account = account
        self._ready_s = ready_s

    def find(self, name: str) -> FoundFunction | None:
        """A function with its tags; None where there is none. Raises PlatformError."""
        what = f"function {name}"
        return self._account.find(_LAMBDA, "get_function", what, FoundFunction, FunctionName=name)

    def create(
        self, member: Member, code: Mapping[str, object], settings: Mapping[str, object], tags: Mapping[str, str]
    ) -> None:
        """Make a function and wait until it is there. Raises PlatformError."""
        package = member.package
        how = {"PackageType": "Image"} if package.kind == "image" else {"PackageType": "Zip"}

        def create() -> None:
            self._account.ask(
                _LAMBDA,
                "create_function",
                f"function {member.function}",
                Nothing,
                FunctionName=member.name,
                Code=code,
                Architectures=[package.architecture],
                Tags=dict(tags),
                Publish=False,
                **how,
                **settings,
            )

        when_role_is_known(create, self._ready_s)
        self.wait(member)

    def update(self, member: Member, code: Mapping[str, object], settings: Mapping[str, object]) -> None:
        """Change what is not published yet. Raises PlatformError."""
        what, place = f"function {member.function}", {"FunctionName": member.name}

        def configure() -> None:
            self._account.ask(_LAMBDA, "update_function_configuration", what, Nothing, **place, **settings)

        when_role_is_known(configure, self._ready_s)
        self.wait(member)
        architectures = [member.package.architecture]
        self._account.ask(
            _LAMBDA, "update_function_code", what, Nothing, **place, **code, Architectures=architectures, Publish=False
        )
        self.wait(member)

    def publish(self, member: Member) -> str:
        """Publish what is there as a version, and wait until it is ready; its number. Raises PlatformError."""
        found = self._account.ask(
            _LAMBDA,
            "publish_version",
            f"function {member.function}",
            FunctionConfiguration,
            FunctionName=member.name,
            Description=member.package.sha256,
        )
        self.wait(member, found.version)
        return found.version

    def versions(self, name: str) -> tuple[str, ...]:
        """The numbers of a function's versions, in their order. Raises PlatformError."""
        pages = self._account.pages(
            _LAMBDA, "list_versions_by_function", f"function {name}", FunctionList, FunctionName=name
        )
        numbers = [found.version for page in pages for found in page.versions if found.version != _LATEST]
        return tuple(sorted(numbers, key=int))

    def configuration(self, name: str, qualifier: str) -> FunctionConfiguration | None:
        """A version as it is; None where there is none. Raises PlatformError."""
        return self._account.find(
            _LAMBDA,
            "get_function_configuration",
            f"function {name}",
            FunctionConfiguration,
            FunctionName=name,
            Qualifier=qualifier,
        )

    def wait(self, member: Member, qualifier: str = _LATEST) -> None:
        """Wait until a function or version is ready. Raises PlatformError with the reason why it is not."""
        deadline, pause_s = time.monotonic() + self._ready_s, _FIRST_PAUSE_S
        while True:
            found = self.configuration(member.name, qualifier)
            if found is not None and is_ready(found):
                return
            if found is not None and found.state == "Failed":
                raise PlatformError(f"function {member.function} failed: {found.state_reason or 'no reason is told'}")
            if found is not None and found.last_update_status == "Failed":
                reason = found.last_update_status_reason or "no reason is told"
                raise PlatformError(f"function {member.function} cannot be changed: {reason}")
            if time.monotonic() + pause_s > deadline:
                state = "it is not there" if found is None else f"{found.state}, update {found.last_update_status}"
                raise PlatformError(
                    f"function {member.function} was not ready within {self._ready_s:g} s ({state}): allow more with "
                    "--ready-s"
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def try_out(self, member: Member, version: str) -> None:
        """Call a version with an empty message, which it refuses: so it has started. Raises PlatformError."""
        answer, failed = self._account.body(
            _LAMBDA,
            "invoke",
            f"function {member.function}",
            "Payload",
            FunctionName=member.name,
            Qualifier=version,
            Payload=b"{}",
        )
        if failed:
            raise PlatformError(f"function {member.function} does not start: {_why(answer, member)}")

    def reserve(self, name: str, executions: int) -> None:
        """Reserve concurrency; 0 for none. Raises PlatformError."""
        what = f"function {name}"
        if not executions:
            self._account.ask(_LAMBDA, "delete_function_concurrency", what, Nothing, FunctionName=name)
            return
        self._account.ask(
            _LAMBDA,
            "put_function_concurrency",
            what,
            Nothing,
            FunctionName=name,
            ReservedConcurrentExecutions=executions,
        )

    def provision(self, name: str, version: str, executions: int) -> None:
        """Keep instances of a version ready, and wait until they are; 0 for none. Raises PlatformError."""
        what, place = f"function {name}", {"FunctionName": name, "Qualifier": version}
        if not executions:
            self._account.ask(_LAMBDA, "delete_provisioned_concurrency_config", what, Nothing, **place)
            return
        wanted = {"ProvisionedConcurrentExecutions": executions}
        self._account.ask(_LAMBDA, "put_provisioned_concurrency_config", what, Nothing, **place, **wanted)
        deadline, pause_s = time.monotonic() + self._ready_s, _FIRST_PAUSE_S
        while (found := self.provisioned(name, version)).status != "READY":
            if found.status == "FAILED":
                reason = found.status_reason or "no reason is told"
                raise PlatformError(f"{what}: {executions} instances cannot be kept ready: {reason}")
            if time.monotonic() + pause_s > deadline:
                raise PlatformError(f"{what}: {executions} instances were not ready within {self._ready_s:g} s")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def provisioned(self, name: str, version: str) -> Provisioned:
        """The instances of a version that are kept ready. Raises PlatformError."""
        what, place = f"function {name}", {"FunctionName": name, "Qualifier": version}
        found = self._account.find(_LAMBDA, "get_provisioned_concurrency_config", what, Provisioned, **place)
        return found or Provisioned()

    def tag(self, arn: str, tags: Mapping[str, str], gone: tuple[str, ...]) -> None:
        """Change a function's tags. Raises PlatformError."""
        self._account.ask(_LAMBDA, "tag_resource", arn, Nothing, Resource=arn, Tags=dict(tags))
        if gone:
            self._account.ask(_LAMBDA, "untag_resource", arn, Nothing, Resource=arn, TagKeys=list(gone))

    def alias(self, name: str, alias: str) -> str:
        """The version that an alias stands for; empty where there is none. Raises PlatformError."""
        found = self._account.find(_LAMBDA, "get_alias", f"function {name}", Alias, FunctionName=name, Name=alias)
        return "" if found is None else found.function_version

    def move_alias(self, name: str, alias: str, version: str, earlier: str) -> None:
        """Have an alias stand for a version; an empty one for none. Raises PlatformError."""
        place = {"FunctionName": name, "Name": alias}
        what = f"function {name}"
        if not version:
            self._account.ask(_LAMBDA, "delete_alias", what, Nothing, **place)
            return
        operation = "update_alias" if earlier else "create_alias"
        self._account.ask(_LAMBDA, operation, what, Nothing, **place, FunctionVersion=version)

    def delete(self, name: str, version: str = "") -> None:
        """Delete a function with all that belongs to it, or one of its versions. Raises PlatformError."""
        place = {"FunctionName": name, **({"Qualifier": version} if version else {})}
        self._account.ask(_LAMBDA, "delete_function", f"function {name}", Nothing, **place)


def is_ready(found: FunctionConfiguration) -> bool:
    """Whether a function or version would answer."""
    return found.state in _READY and found.last_update_status == "Successful"


def _why(answer: bytes, member: Member) -> str:
    """Why a function failed, with what would do."""
    try:
        found = msgspec.json.decode(answer, type=FunctionFailure)
    except msgspec.DecodeError:
        found = FunctionFailure(error_message=answer[:200].decode(errors="replace"))
    text = " ".join(f"{found.error_type} {found.error_message}".split())[:300]
    log = f"see its log {log_group_name(member.name)}"
    if "signal: killed" in text or "OutOfMemory" in text:
        return f"{text}: its memory, {member.package.memory_mib} MB, is too small: plan again, or {log}"
    if "timed out" in text.lower():
        return f"{text}: allow more with --timeout-s, or {log}"
    return f"{text}: {log}"
