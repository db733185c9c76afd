"""A deployment as a template of the Serverless Application Model: the same stack, the same bytes.

Source of the keys: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

import msgspec

from mopar.platforms.aws_lambda.naming import ANYWHERE, log_group_name, role_path, tensors_prefix
from mopar.platforms.aws_lambda.policies import (
    FUNCTION_TRUST,
    Statement,
    calling_statements,
    policy_document,
    states_trust,
    trust_document,
)
from mopar.platforms.aws_lambda.stack import Member, Stack
from mopar.platforms.endpoints import FUNCTIONS_VARIABLE

TEMPLATE, STATES = "template.yaml", "states.asl.json"
_HEADER = """\
# {name}: {functions} functions of the model {model}, written by mopar package --platform aws-lambda.
# Nothing here has a public URL. Each role has the rights of its statements, and no others:
"""
_BUCKET = "TensorsBucket"
_MACHINE = "StateMachine"
Json = Mapping[str, object]


def template(stack: Stack, images: Mapping[str, str], codes: Mapping[str, str]) -> bytes:
    """The template.

    Args:
        stack: what it describes.
        images: function -> its image in a registry, of those whose images exist.
        codes: function -> path of its archive, or of its image's build context, relative to the template.
    """
    resources: dict[str, object] = {}
    for member in stack.members:
        resources |= _function_resources(stack, member, images.get(member.function, ""), codes[member.function])
    if stack.uses_store and not stack.options.bucket:
        resources[_BUCKET] = _bucket(stack)
    if stack.options.by_step_functions:
        resources |= _machine_resources(stack)
    document = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": f"{stack.name}: a model in {len(stack.members)} functions",
        "Resources": resources,
        "Outputs": _outputs(stack),
    }
    model = " ".join(stack.manifest.name.split())
    header = _HEADER.format(name=stack.name, functions=len(stack.members), model=model)
    reasons = "".join(f"#   {sid}: {why}\n" for sid, why in _reasons(stack).items())
    return (header + reasons).encode() + msgspec.yaml.encode(document)


def definition(stack: Stack) -> bytes:
    """The state machine's definition, with placeholders for what the template makes. Raises PlatformError."""
    functions = {member.function: f"${{{logical(member.function)}}}" for member in stack.members}
    return stack.definition(functions, "${Partition}", "${Bucket}")


def logical(function: str) -> str:
    """A function's name among the template's resources, which are of letters and digits."""
    plain = re.sub(r"[^A-Za-z0-9]", lambda found: f"x{ord(found[0]):02x}", function)
    return plain[:1].upper() + plain[1:]


def _reasons(stack: Stack) -> dict[str, str]:
    """Each statement's Sid, and why it is needed."""
    bucket = stack.options.bucket or _BUCKET
    found = [item for member in stack.members for item in stack.statements(member, ANYWHERE, bucket)]
    if stack.options.by_step_functions:
        found += calling_statements(ANYWHERE, [member.name for member in stack.members])
    return {statement.sid: statement.why for statement in found}


def _function_resources(stack: Stack, member: Member, image: str, code: str) -> dict[str, object]:
    name, options = logical(member.function), stack.options
    tags = stack.tags(member.function)
    resources: dict[str, object] = {
        f"{name}Logs": _resource(
            "AWS::Logs::LogGroup",
            {
                "LogGroupName": log_group_name(member.name),
                "RetentionInDays": options.log_retention_days,
                "Tags": _tags(tags),
            },
            holds_data=True,
        )
    }
    if not options.role:
        statements = stack.statements(member, ANYWHERE, options.bucket or f"${{{_BUCKET}}}")
        resources[f"{name}Role"] = _role(stack, trust_document(FUNCTION_TRUST), statements, tags)
    resources[f"{name}Function"] = _function(stack, member, image, code)
    return resources


def _function(stack: Stack, member: Member, image: str, code: str) -> Json:
    name, options, package = logical(member.function), stack.options, member.package
    properties: dict[str, object] = {
        "FunctionName": member.name,
        "Description": f"function {member.function} of {stack.name}",
        "Architectures": [package.architecture],
        "MemorySize": package.memory_mib,
        "Timeout": member.timeout_s,
        "Role": options.role or {"Fn::GetAtt": [f"{name}Role", "Arn"]},
        "LoggingConfig": {"LogGroup": {"Ref": f"{name}Logs"}},
        "AutoPublishAlias": options.alias,
        "Tags": stack.tags(member.function),
    }
    metadata: dict[str, object] = {}
    if package.kind == "zip":
        properties |= {"CodeUri": code, "Handler": package.handler, "Runtime": package.runtime}
        metadata = {"SkipBuild": True}
    else:
        properties["PackageType"] = "Image"
        if image:
            properties["ImageUri"] = image
        else:
            tag = package.sha256[:16]
            metadata = {"DockerContext": code, "Dockerfile": "Containerfile", "DockerTag": f"{member.name}-{tag}"}
    variables: dict[str, object] = {**package.environment, **(_entry_variables(stack) if member.calls else {})}
    if variables:
        properties["Environment"] = {"Variables": dict(sorted(variables.items()))}
    properties |= _sizes(stack)
    properties["AutoPublishCodeSha256"] = _revision(stack, member, properties)
    return {
        "Type": "AWS::Serverless::Function",
        **({"Metadata": metadata} if metadata else {}),
        "Properties": properties,
    }


def _sizes(stack: Stack) -> Json:
    options = stack.options
    found: dict[str, object] = {}
    if options.ephemeral_mib > 512:
        found["EphemeralStorage"] = {"Size": options.ephemeral_mib}
    if options.reserved_concurrency:
        found["ReservedConcurrentExecutions"] = options.reserved_concurrency
    if options.provisioned_concurrency:
        found["ProvisionedConcurrencyConfig"] = {"ProvisionedConcurrentExecutions": options.provisioned_concurrency}
    if options.snap_start:
        found["SnapStart"] = {"ApplyOn": "PublishedVersions"}
    return found


def _role(stack: Stack, trust: Json, statements: Sequence[Statement], tags: Mapping[str, str]) -> Json:
    policy = {"PolicyName": "mopar", "PolicyDocument": policy_document(statements)}
    return _resource(
        "AWS::IAM::Role",
        {
            "Path": role_path(stack.name),
            "AssumeRolePolicyDocument": _substituted(trust),
            "Policies": [_substituted(policy)],
            "Tags": _tags(tags),
        },
    )


def _revision(stack: Stack, member: Member, properties: Json) -> str:
    """What SAM takes for the digest of the code, and publishes a version where it has changed: of all properties too.

    The function that runs the plan needs a version with each one of those that it calls.
    """
    called = [_function(stack, other, "", "") for other in stack.computing] if member.calls else []
    document = [member.package.sha256, properties, called]
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


def _entry_variables(stack: Stack) -> Json:
    """Which versions the function that runs the plan calls."""
    functions = {member.function: f"${{{logical(member.function)}}}" for member in stack.computing}
    text = stack.entry_endpoints(functions, "${Bucket}")
    substitutions = _called(stack) | ({"Bucket": _bucket_of(stack)} if "${Bucket}" in text else {})
    return {FUNCTIONS_VARIABLE: {"Fn::Sub": [text, substitutions]}}


def _called(stack: Stack) -> dict[str, object]:
    """Versions are called, so that no request meets functions of two deployments.

    Instances that are kept ready belong to the alias, which is called then.
    """
    called = "Alias" if stack.options.provisioned_concurrency else "Version"
    return {
        logical(member.function): {"Ref": f"{logical(member.function)}Function.{called}"} for member in stack.computing
    }


def _bucket_of(stack: Stack) -> object:
    return stack.options.bucket or {"Ref": _BUCKET}


def _machine_resources(stack: Stack) -> dict[str, object]:
    substitutions = _called(stack)
    substitutions["Partition"] = {"Ref": "AWS::Partition"}
    substitutions["Bucket"] = _bucket_of(stack)
    role = f"{_MACHINE}Role"
    resources: dict[str, object] = {}
    if not stack.options.states_role:
        statements = calling_statements(ANYWHERE, [member.name for member in stack.members])
        resources[role] = _role(stack, trust_document(states_trust(ANYWHERE)), statements, stack.machine_tags())
    resources[_MACHINE] = _resource(
        "AWS::Serverless::StateMachine",
        {
            "Name": stack.name,
            "Type": "EXPRESS",
            "DefinitionUri": STATES,
            "DefinitionSubstitutions": substitutions,
            "Role": stack.options.states_role or {"Fn::GetAtt": [role, "Arn"]},
            "Tags": stack.machine_tags(),
        },
    )
    return resources


def _bucket(stack: Stack) -> Json:
    """For this deployment's tensors alone: nobody else reads it, and what is in it expires."""
    expiring = {
        "Id": "expire-tensors",
        "Status": "Enabled",
        "Prefix": tensors_prefix(stack.name),
        "ExpirationInDays": 1,
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    blocked = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    encryption = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    return _resource(
        "AWS::S3::Bucket",
        {
            "PublicAccessBlockConfiguration": dict.fromkeys(blocked, True),
            "BucketEncryption": {"ServerSideEncryptionConfiguration": [encryption]},
            "LifecycleConfiguration": {"Rules": [expiring]},
            "Tags": _tags(stack.tags()),
        },
        holds_data=True,
    )


def _outputs(stack: Stack) -> Json:
    found: dict[str, object] = {
        f"{logical(member.function)}Alias": {
            "Description": f"Where function {member.function} is called",
            "Value": {"Ref": f"{logical(member.function)}Function.Alias"},
        }
        for member in stack.members
    }
    if stack.options.by_step_functions:
        found[_MACHINE] = {"Description": "The state machine that runs the plan", "Value": {"Ref": _MACHINE}}
    if stack.uses_store and not stack.options.bucket:
        found[_BUCKET] = {"Description": "The bucket of the tensors", "Value": {"Ref": _BUCKET}}
    return found


def _resource(kind: str, properties: Json, *, holds_data: bool = False) -> Json:
    """A resource; what holds data says outright that it goes with the stack."""
    policy = dict.fromkeys(("DeletionPolicy", "UpdateReplacePolicy"), "Delete") if holds_data else {}
    return {"Type": kind, **policy, "Properties": properties}


def _tags(tags: Mapping[str, str]) -> list[Json]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _substituted(value: object) -> object:
    """The same, with ``Fn::Sub`` around each text that has a placeholder."""
    if isinstance(value, str):
        return {"Fn::Sub": value} if "${" in value else value
    if isinstance(value, Mapping):
        return {key: _substituted(item) for key, item in value.items()}
    return [_substituted(item) for item in value] if isinstance(value, list | tuple) else value
