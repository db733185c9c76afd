"""The rights that a deployment's roles have, each with the reason why it is needed. Nothing else is granted.

The template and what is deployed directly have the same statements; ``docs/platforms/aws-lambda.md`` lists them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from mopar.platforms.aws_lambda.naming import Place, log_group_name, tensors_prefix

_VERSION = "2012-10-17"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy; ``sid`` says what it is for, ``why`` is for readers."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Trust:
    """Who may take a role: a service, and only for this account where ``account`` is not empty."""

    service: str
    account: str = ""


class _Statement(msgspec.Struct, rename="pascal", omit_defaults=True):
    sid: str = ""
    effect: str = ""
    principal: dict[str, str] = {}
    action: tuple[str, ...] = ()
    resource: tuple[str, ...] = ()
    condition: dict[str, dict[str, str]] = {}


class _Policy(msgspec.Struct, rename="pascal"):
    version: str
    statement: list[_Statement]


def function_statements(
    place: Place, deployment: str, member: str, store: str, bucket: str, weights: Sequence[str]
) -> tuple[Statement, ...]:
    """What a function of the plan may do.

    Args:
        place: of the function.
        deployment: its deployment's name.
        member: its own, as Lambda knows it.
        store: the bucket that its tensors pass through; empty where they do not.
        bucket: that has its weights.
        weights: keys of objects that it fetches when it starts.
    """
    found = [_own_log(place, member)]
    if store:
        tensors = place.objects(store, f"{tensors_prefix(deployment)}*")
        found += [
            Statement("ReadTensors", ("s3:GetObject",), (tensors,), "inputs that no message of 6 MB holds"),
            _write_tensors(tensors),
        ]
    if weights:
        objects = tuple(place.objects(bucket, key) for key in weights)
        found.append(Statement("ReadItsWeights", ("s3:GetObject",), objects, "weights that its package does not hold"))
    return tuple(found)


def entry_statements(
    place: Place, deployment: str, member: str, store: str, members: Sequence[str]
) -> tuple[Statement, ...]:
    """What a function that runs the plan may do; ``members`` are those that it calls, the rest is as for those."""
    tensors = place.objects(store, f"{tensors_prefix(deployment)}*")
    return (
        _own_log(place, member),
        *calling_statements(place, members),
        *([_write_tensors(tensors), _delete_tensors(tensors)] if store else []),
    )


def _own_log(place: Place, member: str) -> Statement:
    return Statement(
        "WriteItsOwnLog",
        ("logs:CreateLogStream", "logs:PutLogEvents"),
        (f"{place.log_group(log_group_name(member))}:*",),
        "errors of its initialisation and its calls; the log group is made beforehand, so it may make none",
    )


def _write_tensors(tensors: str) -> Statement:
    return Statement("WriteTensors", ("s3:PutObject",), (tensors,), "outputs that no message of 6 MB holds")


def _delete_tensors(tensors: str) -> Statement:
    why = "what has passed between functions, once it has answered"
    return Statement("DeleteTensors", ("s3:DeleteObject",), (tensors,), why)


def calling_statements(place: Place, members: Sequence[str]) -> tuple[Statement, ...]:
    """What whatever runs the plan may do: call the versions of these functions."""
    versions = tuple(f"{place.function(member)}:*" for member in members)
    return (
        Statement(
            "CallItsFunctions", ("lambda:InvokeFunction",), versions, "each call of the plan is one of a version"
        ),
    )


FUNCTION_TRUST = Trust("lambda.amazonaws.com")


def states_trust(place: Place) -> Trust:
    """Who may take the state machine's role: Step Functions, for no other account."""
    return Trust("states.amazonaws.com", place.account)


def policy_document(statements: Sequence[Statement]) -> Mapping[str, object]:
    """A role's policy, as IAM takes it."""
    made = [
        _Statement(statement.sid, "Allow", action=statement.actions, resource=statement.resources)
        for statement in statements
    ]
    return _plain(_Policy(_VERSION, made))


def trust_document(trust: Trust) -> Mapping[str, object]:
    """A role's trust policy, as IAM takes it."""
    condition = {"StringEquals": {"aws:SourceAccount": trust.account}} if trust.account else {}
    principal = {"Service": trust.service}
    statement = _Statement("", "Allow", principal, ("sts:AssumeRole",), condition=condition)
    return _plain(_Policy(_VERSION, [statement]))


def _plain(policy: _Policy) -> Mapping[str, object]:
    found: Mapping[str, object] = msgspec.to_builtins(policy)
    return found
