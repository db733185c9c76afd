"""What a deployment's parts are called on AWS, and their ARNs."""

from collections.abc import Iterable
from dataclasses import dataclass

from mopar.platforms.aws_lambda.limits import check_name
from mopar.platforms.names import member_name
from mopar.types import PlatformError

DEPLOYMENT_TAG, FUNCTION_TAG = "mopar:deployment", "mopar:function"
"""Tags by which all that belongs to a deployment is found again."""
ALIAS_TAG, MODEL_TAG = "mopar:alias", "mopar:model"
"""Tags of a function and of the state machine, for ``status``."""
STATES = "states"
"""What stands for the state machine among the functions' names."""
ENTRY = "entry"
"""The function that runs the plan, among those of a deployment."""
_ROLE_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is: the parts of an ARN before its resource."""

    partition: str
    region: str
    account: str

    def function(self, name: str) -> str:
        """The ARN of a function without a version."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{name}"

    def log_group(self, name: str) -> str:
        """The ARN of a log group, without the ``:*`` that stands for its streams."""
        return f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:{name}"

    def objects(self, bucket: str, key: str) -> str:
        """The ARN of an object, or of all with a prefix where ``key`` ends with ``*``."""
        return f"arn:{self.partition}:s3:::{bucket}/{key}"

    def state_machine(self, name: str) -> str:
        """The ARN of a state machine."""
        return f"arn:{self.partition}:states:{self.region}:{self.account}:stateMachine:{name}"

    def executions(self, name: str) -> str:
        """The ARN of all Express executions of a state machine."""
        return f"arn:{self.partition}:states:{self.region}:{self.account}:express:{name}:*"


ANYWHERE = Place("${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}")
"""Pseudo parameters of CloudFormation, for ``Fn::Sub``."""


def function_names(deployment: str, functions: Iterable[str]) -> dict[str, str]:
    """Function -> what Lambda is to know it by.

    Raises:
        UsageError: a name would be too long.
        PlatformError: two would be the same.
    """
    names = {function: member_name(deployment, function) for function in functions}
    for function, name in names.items():
        check_name(function, name)
    if len(set(names.values())) < len(names):
        raise PlatformError(f"two functions of {deployment} would have the same name on Lambda")
    return names


def role_name(member: str, region: str) -> str:
    """The name of a function's role, which an account has once for all regions. Raises PlatformError."""
    name = f"{member}-{region}"
    if len(name) > _ROLE_CHARACTERS:
        raise PlatformError(
            f"the role of {member} would be called {name}, and IAM takes {_ROLE_CHARACTERS} characters: choose a "
            "shorter --name, or --role"
        )
    return name


def role_path(deployment: str) -> str:
    """The path of a deployment's roles, by which they are listed."""
    return f"/mopar/{deployment}/"


def log_group_name(member: str) -> str:
    """Where Lambda writes a function's log."""
    return f"/aws/lambda/{member}"


def package_key(deployment: str, sha256: str) -> str:
    """The object by which a large archive is sent."""
    return f"mopar/{deployment}/packages/{sha256}.zip"


def weights_prefix(deployment: str) -> str:
    """Before the objects of a deployment's weights."""
    return f"mopar/{deployment}/weights/"


def tensors_prefix(deployment: str) -> str:
    """Before the objects of a deployment's tensors, which a lifecycle rule expires."""
    return f"mopar/{deployment}/tensors/"
