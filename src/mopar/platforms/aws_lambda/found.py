"""A deployment as AWS tells of it: found by the tags of what belongs to it."""

import time
from dataclasses import dataclass

from mopar.platforms.aws_lambda.account import Account
from mopar.platforms.aws_lambda.functions import LambdaFunctions, is_ready
from mopar.platforms.aws_lambda.naming import ALIAS_TAG, DEPLOYMENT_TAG, FUNCTION_TAG
from mopar.platforms.aws_lambda.stack import vcpus_of
from mopar.platforms.aws_lambda.wire import FunctionList, Tags
from mopar.types.deployed import Deployed, DeployedFunction, GatewayAddress


@dataclass(frozen=True, slots=True)
class Present:
    """A function that is there.

    Attributes:
        name: as Lambda knows it.
        function: as the plan named it.
        alias: that its deployment moves.
    """

    name: str
    function: str
    alias: str


def present_functions(account: Account, deployment: str) -> tuple[Present, ...]:
    """The functions of a deployment, ``f2`` before ``f10``. Raises PlatformError."""
    what = f"the functions of {deployment}"
    found = []
    for page in account.pages("lambda", "list_functions", what, FunctionList):
        for item in page.functions:
            if not item.function_name.startswith(f"{deployment}-"):
                continue
            tags = account.ask("lambda", "list_tags", what, Tags, Resource=item.function_arn).tags
            if tags.get(DEPLOYMENT_TAG) == deployment:
                found.append(Present(item.function_name, tags.get(FUNCTION_TAG, ""), tags.get(ALIAS_TAG, "")))
    return tuple(sorted(found, key=lambda item: (len(item.function), item.function)))


def deployed_of(
    account: Account,
    name: str,
    present: tuple[Present, ...],
    ready_s: float,
    began: float,
    *,
    answers: bool,
    gateway: GatewayAddress | None,
) -> Deployed:
    """The deployment that some functions make up.

    Args:
        account: theirs.
        name: of the deployment.
        present: its functions.
        ready_s: how long anything may take.
        began: when the verb did, on the clock of ``time.monotonic``.
        answers: whether what runs the plan is there, too.
        gateway: of this machine, if it has one.

    Raises:
        PlatformError: AWS cannot be asked.
    """
    functions = LambdaFunctions(account, ready_s)
    rows = tuple(_deployed(functions, account, item) for item in present)
    ready = answers and bool(rows) and all(row.ready for row in rows)
    return Deployed("aws-lambda", name, ready, gateway, rows, round(time.monotonic() - began, 3))


def _deployed(functions: LambdaFunctions, account: Account, item: Present) -> DeployedFunction:
    """As many instances as are kept ready count as replicas: others come and go with the requests."""
    version = functions.alias(item.name, item.alias) if item.alias else ""
    found = functions.configuration(item.name, version or "$LATEST")
    memory_mib = 0 if found is None else found.memory_size
    kept = functions.provisioned(item.name, version) if version else None
    return DeployedFunction(
        name=item.function,
        endpoint=f"{account.place.function(item.name)}:{item.alias or '$LATEST'}",
        memory_mib=memory_mib,
        cpu=vcpus_of(memory_mib),
        replicas=0 if kept is None else kept.requested_provisioned_concurrent_executions,
        ready=bool(version) and found is not None and is_ready(found),
    )
