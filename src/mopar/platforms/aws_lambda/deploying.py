"""One deployment of a bundle to Lambda: all of it, or what was there before.

New versions are made beside those that answer, and tried. Only then do the aliases move, and with them the state
machine, whose definition names versions. What is not published (``$LATEST``) answers nobody.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from mopar.platforms.aws_lambda.account import Account
from mopar.platforms.aws_lambda.bucket import DeploymentBucket
from mopar.platforms.aws_lambda.changes import Changes
from mopar.platforms.aws_lambda.checking import FoundFunctions, check_account
from mopar.platforms.aws_lambda.found import Present, present_functions
from mopar.platforms.aws_lambda.functions import LambdaFunctions
from mopar.platforms.aws_lambda.machine import DeploymentMachine
from mopar.platforms.aws_lambda.naming import STATES, role_name
from mopar.platforms.aws_lambda.policies import calling_statements, states_trust
from mopar.platforms.aws_lambda.removing import drop_function, drop_machine
from mopar.platforms.aws_lambda.roles import LambdaRoles
from mopar.platforms.aws_lambda.serving import LambdaGateway
from mopar.platforms.aws_lambda.stack import Member, Stack
from mopar.platforms.aws_lambda.versions import Version, VersionMaker
from mopar.platforms.deploying import Tell
from mopar.platforms.endpoints import FUNCTIONS_VARIABLE
from mopar.types import MoparError, PlatformError, UsageError

PushImages = Callable[[Stack, Changes], Mapping[str, str]]
"""Builds and sends the images of a stack; function -> its reference."""


class Deploying:
    """Changes what is deployed under a name.

    Args:
        account: that it is deployed to.
        stack: what is to be there.
        push_images: sends images to their registry.
        gateway: of this machine.
        tell: is told each stage.
    """

    def __init__(
        self, account: Account, stack: Stack, push_images: PushImages, gateway: LambdaGateway, tell: Tell
    ) -> None:
        self._account = account
        self._stack = stack
        self._push_images = push_images
        self._gateway = gateway
        self._tell = tell
        self._changes = Changes()
        self._functions = LambdaFunctions(account, stack.options.ready_s)
        self._bucket = DeploymentBucket(account, stack.options.bucket, stack.name)
        self._maker = VersionMaker(account, stack, self._changes, tell)

    def run(self) -> tuple[Present, ...]:
        """Change it; the functions that are there then.

        Raises:
            UsageError: a name is taken, or an option does not fit the account.
            PlatformError: it was refused, or failed; all is as it was, or the message says what is not.
        """
        before = {item.name for item in present_functions(self._account, self._stack.name)}
        found = {member.name: self._functions.find(member.name) for member in self._stack.members}
        check_account(self._account, self._stack, found, self._tell)
        try:
            versions = self._make(found)
            self._switch(versions)
        except MoparError as error:
            kind = UsageError if isinstance(error, UsageError) else PlatformError
            raise kind(f"{error}{self._taken_back(bool(before))}") from error
        except BaseException:  # an interrupt too
            self._changes.take_back()
            raise
        self._tidy(versions, before)
        return present_functions(self._account, self._stack.name)

    def _make(self, found: FoundFunctions) -> tuple[Version, ...]:
        """Versions that would answer, beside those that do."""
        stack, kept_ready = self._stack, self._stack.options.provisioned_concurrency
        if stack.uses_store:
            self._bucket.expire_tensors(self._changes)
        images = self._push_images(stack, self._changes)
        versions = tuple(
            self._maker.make(member, found[member.name], images.get(member.function, "")) for member in stack.computing
        )
        self._try(versions)
        if stack.entry is not None:
            entry = self._make_entry(stack.entry, versions, found)
            self._try([entry])
            versions = (*versions, entry)
        for version in versions if kept_ready else ():
            name, number = version.member.name, version.number
            self._tell(f"keeping {kept_ready} instances of {name} ready")
            earlier = self._functions.provisioned(name, number).requested_provisioned_concurrent_executions
            back = partial(self._functions.provision, name, number, earlier)
            self._changes.note(f"instances of {name} that are kept ready", back)
            self._functions.provision(name, number, kept_ready)
        return versions

    def _make_entry(self, entry: Member, versions: Sequence[Version], found: FoundFunctions) -> Version:
        """A version of the function that runs the plan, by calls of versions: none meets functions of two deployments.

        Instances that are kept ready belong to versions too.
        """
        called = {version.member.function: f"{version.member.name}:{version.number}" for version in versions}
        variables = {FUNCTIONS_VARIABLE: self._stack.entry_endpoints(called, self._stack.options.bucket)}
        return self._maker.make(entry, found[entry.name], "", variables)

    def _try(self, versions: Sequence[Version]) -> None:
        for version in versions:
            self._tell(f"trying {version.member.name}")
            self._functions.try_out(version.member, version.number)

    def _switch(self, versions: Sequence[Version]) -> None:
        """Have the versions answer."""
        alias = self._stack.options.alias
        for version in versions:
            name, number, earlier = version.member.name, version.number, version.earlier
            if number != earlier:
                self._tell(f"{name}: version {number} answers")
                back = partial(self._functions.move_alias, name, alias, earlier, number)
                self._changes.note(f"alias {alias} of {name}", back)
                self._functions.move_alias(name, alias, number, earlier)
        if self._stack.options.by_step_functions:
            self._put_machine(versions)
        if self._stack.options.starts_gateway:
            # It calls versions: one that is not restarted yet would meet functions of two deployments otherwise.
            called = {version.member.function: f"{version.member.name}:{version.number}" for version in versions}
            bucket = self._stack.options.bucket if self._stack.uses_store else ""
            self._gateway.switch(called, self._account.region, bucket, self._changes)

    def _put_machine(self, versions: Sequence[Version]) -> None:
        stack, place = self._stack, self._account.place
        self._tell(f"writing the state machine {stack.name}")
        role = stack.options.states_role or LambdaRoles(self._account, stack.name).put(
            role_name(f"{stack.name}-{STATES}", self._account.region),
            states_trust(place),
            calling_statements(place, [version.member.name for version in versions]),
            stack.machine_tags(),
            self._changes,
        )
        called = {
            version.member.function: f"{place.function(version.member.name)}:{version.number}" for version in versions
        }
        definition = stack.definition(called, place.partition, stack.options.bucket).decode()
        machine = DeploymentMachine(self._account, stack.name, stack.options.ready_s)
        machine.put(definition, role, stack.machine_tags(), self._changes)

    def _tidy(self, versions: Sequence[Version], before: set[str]) -> None:
        """Remove what nobody needs any more; the version before this one is kept, since calls of it may still run."""
        account, stack, steps = self._account, self._stack, Changes()
        for key in self._maker.sent:
            steps.note(f"object {key}", partial(self._bucket.delete, key))
        for version in versions:
            self._tidy_versions(version, steps)
        for name in sorted(before - {member.name for member in stack.members}):
            self._tell(f"removing {name}")
            drop_function(account, stack.name, name, steps)
        if not stack.options.starts_gateway:
            steps.note(f"the gateway of {stack.name}", self._gateway.drop)
        if not stack.options.by_step_functions:
            drop_machine(account, stack.name, stack.options.ready_s, steps)
        if left := steps.take_back():
            self._tell(f"left, and of no use: {', '.join(left)}")

    def _tidy_versions(self, version: Version, steps: Changes) -> None:
        name, functions = version.member.name, self._functions
        for number in functions.versions(name):
            answers = number == version.number
            if not answers and number != version.earlier:
                steps.note(f"version {number} of {name}", partial(functions.delete, name, number))
                continue
            kept_ready = answers and self._stack.options.provisioned_concurrency
            if not kept_ready and functions.provisioned(name, number).status:
                what = f"instances of {name}:{number} that are kept ready"
                steps.note(what, partial(functions.provision, name, number, 0))

    def _taken_back(self, was_there: bool) -> str:
        """Take changes back; what to add to the message of the error."""
        self._tell("taking changes back")
        left = self._changes.take_back()
        if left:
            return f"; {', '.join(left)} may be left: mopar remove {self._stack.name} --platform aws-lambda"
        return f"; {self._stack.name} runs as it did before" if was_there else ""
