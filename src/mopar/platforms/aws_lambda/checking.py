"""Whether an account can take a deployment: asked before anything is changed."""

from collections.abc import Mapping

from mopar.platforms.aws_lambda.account import Account
from mopar.platforms.aws_lambda.bucket import DeploymentBucket
from mopar.platforms.aws_lambda.machine import DeploymentMachine
from mopar.platforms.aws_lambda.naming import DEPLOYMENT_TAG, role_name
from mopar.platforms.aws_lambda.roles import LambdaRoles
from mopar.platforms.aws_lambda.stack import Member, Stack
from mopar.platforms.aws_lambda.wire import FoundFunction, Settings
from mopar.platforms.deploying import Tell
from mopar.types import PlatformError, UsageError

_UNRESERVED = 100
"""Concurrent executions that Lambda keeps for functions which reserve none."""

FoundFunctions = Mapping[str, FoundFunction | None]
"""What Lambda knows a function by -> the function, if it is there."""


def check_account(account: Account, stack: Stack, found: FoundFunctions, tell: Tell) -> None:
    """Check that names are free or this deployment's, and that the account has room.

    Args:
        account: that is deployed to.
        stack: what is to be there.
        found: the functions of its names that are there.
        tell: is told what cannot be checked.

    Raises:
        UsageError: a name is somebody else's, or an option does not fit what is there.
        PlatformError: a quota is in the way, or AWS cannot be asked.
    """
    options = stack.options
    for member in stack.members:
        there = found[member.name]
        if there is not None:
            _check_function(stack, member, there)
    if not options.role:
        roles = LambdaRoles(account, stack.name)
        for member in stack.members:
            roles.check(role_name(member.name, account.region))
    if options.by_step_functions:
        DeploymentMachine(account, stack.name, options.ready_s).find()
    if options.bucket:
        DeploymentBucket(account, options.bucket, stack.name).check()
    try:
        settings = account.ask("lambda", "get_account_settings", "the account's quotas", Settings)
    except PlatformError as error:  # a right that deploying does without
        tell(f"quotas are not checked: {error}")
    else:
        _check_concurrency(stack, found, settings)
        _check_room(stack, settings)


def _check_function(stack: Stack, member: Member, there: FoundFunction) -> None:
    if there.tags.get(DEPLOYMENT_TAG) != stack.name:
        raise UsageError(
            f"function {member.name} has no tag {DEPLOYMENT_TAG}={stack.name}, so it is not this deployment's: "
            "choose another --name"
        )
    kind = there.configuration.package_type.lower()
    if kind != member.package.kind:
        raise UsageError(
            f"function {member.name} is of the kind {kind}, and Lambda cannot make it {member.package.kind}: mopar "
            f"remove {stack.name} first, or choose another --name"
        )


def _check_concurrency(stack: Stack, found: FoundFunctions, settings: Settings) -> None:
    """New accounts have fewer concurrent executions."""
    each, limit = stack.options.reserved_concurrency, settings.account_limit
    if not each:
        return
    held = sum(there.concurrency.reserved_concurrent_executions for there in found.values() if there is not None)
    spare = max(limit.unreserved_concurrent_executions + held - _UNRESERVED, 0)
    wanted = each * len(stack.members)
    if wanted > spare:
        raise PlatformError(
            f"--reserved-concurrency {each} for {len(stack.members)} functions needs {wanted} concurrent executions, "
            f"and the account has {spare} to reserve of its {limit.concurrent_executions}: lower it, or ask for more "
            "at Service Quotas (Lambda, concurrent executions)"
        )


def _check_room(stack: Stack, settings: Settings) -> None:
    total = settings.account_limit.total_code_size
    spare = max(total - settings.account_usage.total_code_size, 0)
    sent = sum(member.package.packed_bytes for member in stack.members if member.package.kind == "zip")
    if total and sent > spare:
        raise PlatformError(
            f"the archives have {sent >> 20} MB, and the account has room for {spare >> 20} MB of its {total >> 20}: "
            "remove old versions of functions, or ask for more at Service Quotas (Lambda, function storage)"
        )
