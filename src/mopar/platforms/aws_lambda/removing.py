"""All that belongs to a deployment, removed; what cannot be is named."""

from functools import partial

from mopar.platforms.aws_lambda.account import Account
from mopar.platforms.aws_lambda.bucket import DeploymentBucket
from mopar.platforms.aws_lambda.changes import Changes
from mopar.platforms.aws_lambda.found import present_functions
from mopar.platforms.aws_lambda.functions import LambdaFunctions
from mopar.platforms.aws_lambda.logs import LogGroupsOf
from mopar.platforms.aws_lambda.machine import DeploymentMachine
from mopar.platforms.aws_lambda.naming import STATES, log_group_name, role_name
from mopar.platforms.aws_lambda.options import LambdaOptions
from mopar.platforms.aws_lambda.registry import delete_repository, find_repository
from mopar.platforms.aws_lambda.roles import LambdaRoles
from mopar.platforms.deploying import Tell
from mopar.types.deployed import Removed


def drop_function(account: Account, deployment: str, name: str, steps: Changes) -> None:
    """Add the steps that remove a function, with its role and its log group."""
    functions, roles = LambdaFunctions(account, 0.0), LambdaRoles(account, deployment)
    logs = LogGroupsOf(account, deployment)
    role, group = role_name(name, account.region), log_group_name(name)
    if role in roles.names():
        steps.note(f"role {role}", partial(roles.delete, role))
    if logs.is_ours(group):
        steps.note(f"log group {group}", partial(logs.delete, group))
    steps.note(f"function {name}", partial(functions.delete, name))


def drop_machine(account: Account, deployment: str, ready_s: float, steps: Changes) -> None:
    """Add the steps that remove a state machine and its role, where there are any."""
    machine, roles = DeploymentMachine(account, deployment, ready_s), LambdaRoles(account, deployment)
    role = role_name(f"{deployment}-{STATES}", account.region)
    if role in roles.names():
        steps.note(f"role {role}", partial(roles.delete, role))
    if machine.find() is not None:
        steps.note(f"state machine {deployment}", machine.delete)


def remove_all(account: Account, name: str, options: LambdaOptions, tell: Tell) -> Removed | None:
    """Remove a deployment; None where there is nothing of it. Raises PlatformError where AWS cannot be asked."""
    steps = Changes()
    roles, logs = LambdaRoles(account, name), LogGroupsOf(account, name)
    functions, machine = LambdaFunctions(account, options.ready_s), DeploymentMachine(account, name, options.ready_s)
    for role in roles.names():
        if role.endswith(f"-{account.region}"):
            steps.note(f"role {role}", partial(roles.delete, role))
    for group in logs.names(log_group_name(f"{name}-")):
        steps.note(f"log group {group}", partial(logs.delete, group))
    if options.registry and (repository := find_repository(account, options.registry, name)):
        steps.note(f"repository {repository}", partial(delete_repository, account, repository))
    for item in present_functions(account, name):
        steps.note(f"function {item.name}", partial(functions.delete, item.name))
    if machine.find() is not None:
        steps.note(f"state machine {name}", machine.delete)
    if options.bucket:
        bucket = DeploymentBucket(account, options.bucket, name)
        if bucket.holds_anything():
            steps.note(f"objects mopar/{name}/ of bucket {options.bucket}", bucket.clear)
    names = steps.names()
    if not names:
        return None
    tell(f"removing {name}")
    left = steps.take_back()
    return Removed(tuple(item for item in names if item not in left), left)
