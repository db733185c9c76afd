"""Answers of AWS, as far as deployments read them."""

import msgspec


class FunctionConfiguration(msgspec.Struct, rename="pascal"):
    """A function, or one of its versions."""

    function_name: str
    function_arn: str = ""
    version: str = "$LATEST"
    memory_size: int = 128
    package_type: str = "Zip"
    state: str = "Active"
    state_reason: str = ""
    last_update_status: str = "Successful"
    last_update_status_reason: str = ""


class Reserved(msgspec.Struct, rename="pascal"):
    """What a function takes of the account's concurrency."""

    reserved_concurrent_executions: int = 0


class FoundFunction(msgspec.Struct, rename="pascal"):
    """A function with its tags."""

    configuration: FunctionConfiguration
    tags: dict[str, str] = {}
    concurrency: Reserved = msgspec.field(default_factory=Reserved)


class FunctionList(msgspec.Struct, rename="pascal"):
    """Functions, or versions of one."""

    functions: list[FunctionConfiguration] = []
    versions: list[FunctionConfiguration] = []


class Tags(msgspec.Struct, rename="pascal"):
    """Of a function."""

    tags: dict[str, str] = {}


class Alias(msgspec.Struct, rename="pascal"):
    """Of a function."""

    function_version: str


class Provisioned(msgspec.Struct, rename="pascal"):
    """Instances that are kept ready."""

    status: str = ""
    status_reason: str = ""
    requested_provisioned_concurrent_executions: int = 0


class FunctionFailure(msgspec.Struct, rename="camel"):
    """What an invocation answers where the function fails."""

    error_type: str = ""
    error_message: str = ""


class Tag(msgspec.Struct, rename="pascal"):
    """A tag as IAM and S3 have it."""

    key: str
    value: str


class Role(msgspec.Struct, rename="pascal"):
    """Of IAM."""

    role_name: str
    arn: str
    tags: list[Tag] = []


class FoundRole(msgspec.Struct, rename="pascal"):
    """Of IAM."""

    role: Role


class Roles(msgspec.Struct, rename="pascal"):
    """Of IAM."""

    roles: list[Role] = []


class RolePolicy(msgspec.Struct, rename="pascal"):
    """An inline policy; boto3 has decoded it."""

    policy_document: dict[str, object]


class LogGroup(msgspec.Struct, rename="camel"):
    """Of CloudWatch."""

    log_group_name: str
    retention_in_days: int | None = None


class LogGroups(msgspec.Struct, rename="camel"):
    """Of CloudWatch."""

    log_groups: list[LogGroup] = []


class LogTags(msgspec.Struct):
    """Of a log group."""

    tags: dict[str, str] = {}


class StateMachine(msgspec.Struct, rename="camel"):
    """Of Step Functions."""

    state_machine_arn: str
    definition: str = ""
    role_arn: str = ""
    status: str = "ACTIVE"


class StateTag(msgspec.Struct):
    """A tag as Step Functions has it."""

    key: str
    value: str


class StateTags(msgspec.Struct):
    """Of a state machine."""

    tags: list[StateTag] = []


class Lifecycle(msgspec.Struct, rename="pascal"):
    """Of a bucket. Rules are others' too, and go back as they came."""

    rules: list[dict[str, object]] = []


class Bucket(msgspec.Struct, rename="pascal"):
    """Of S3."""

    bucket_region: str = ""


class Object(msgspec.Struct, rename="pascal"):
    """Of S3."""

    key: str


class Objects(msgspec.Struct, rename="pascal"):
    """Of S3."""

    contents: list[Object] = []


class Limits(msgspec.Struct, rename="pascal"):
    """Of the account in a region."""

    total_code_size: int = 0
    concurrent_executions: int = 0
    unreserved_concurrent_executions: int = 0


class Usage(msgspec.Struct, rename="pascal"):
    """Of the account in a region."""

    total_code_size: int = 0


class Settings(msgspec.Struct, rename="pascal"):
    """Of the account in a region."""

    account_limit: Limits
    account_usage: Usage
