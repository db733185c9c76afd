"""What AWS and its SDK say when something goes wrong, in one line that says what would do."""

import re
from collections.abc import Mapping

from mopar.types import MoparError, PlatformError, UsageError

_MOST_TEXT = 400
NOT_FOUND = frozenset(
    {
        "ResourceNotFoundException", "NoSuchEntity", "NoSuchEntityException", "StateMachineDoesNotExist", "404",
        "NoSuchBucket", "NoSuchKey", "NoSuchLifecycleConfiguration", "ProvisionedConcurrencyConfigNotFoundException",
        "RepositoryNotFoundException", "ImageNotFoundException",
    }
)  # fmt: skip
TRANSIENT = frozenset(
    {
        "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestThrottled",
        "RequestLimitExceeded", "SlowDown", "PriorRequestNotComplete", "ServiceException", "ServiceUnavailable",
        "ServiceUnavailableException", "InternalError", "InternalFailure", "ServiceFailureException",
        "ConcurrentModification", "ConcurrentModificationException", "OperationAbortedException",
    }
)  # fmt: skip
"""Throttling, changes that others make at the same time, and the service's own failures: asked again."""
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403"})
_UNKNOWN_KEYS = frozenset(
    {
        "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure", "InvalidToken",
        "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature",
    }
)  # fmt: skip
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_ACTION = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z*]+)")
_ACTIONS = {
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "DeleteObjects": "DeleteObject",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "Invoke": "InvokeFunction",
}
"""Operations whose right is called otherwise. What is refused without a message is an operation of S3."""
_MEMORY = re.compile(r"MemorySize.*less than or equal to (\d+)", re.DOTALL)
_ROLES = ("cannot be assumed by Lambda", "to assume the provided role")
_ANSWERS: Mapping[str, str] = {
    "CodeStorageExceededException": "the account's room for functions is full: remove old versions, or ask for more at "
    "Service Quotas",
    "RequestEntityTooLargeException": "it is sent directly, which takes 50 MB: name a bucket, --bucket",
    "LimitExceeded": "a quota of the account is reached: remove what is not needed, or ask for more at Service Quotas",
    "LimitExceededException": "a quota of the account is reached: remove what is not needed, or ask for more at "
    "Service Quotas",
    "StateMachineLimitExceeded": "the account's quota of state machines is reached: remove some, or ask for more at "
    "Service Quotas",
    "NoSuchBucket": "there is no such bucket: make it in the functions' region, or name another, --bucket",
}


class NotFoundError(PlatformError):
    """There is no such thing."""


class TransientError(PlatformError):
    """It may go well when it is asked again."""


class RoleNotReadyError(PlatformError):
    """A role that was just made is not known everywhere yet."""


def refused(code: str, message: str, service: str, operation: str, what: str) -> MoparError:
    """The error of a refused request.

    Args:
        code: of the error, as AWS has it.
        message: its own.
        service: that refused, such as ``lambda``.
        operation: that was asked for, such as ``CreateFunction``.
        what: it was about, such as ``function f0``.
    """
    text, error = one_line(message), f"{what}: {service}:{operation} is refused ({code}): {one_line(message)}"
    if code in NOT_FOUND and code not in _ANSWERS:
        return NotFoundError(f"{what}: {service} knows nothing of it: {text}")
    if code in TRANSIENT:
        return TransientError(f"{what}: {service} is busy ({code}): {text}")
    if code in _UNKNOWN_KEYS or code in _EXPIRED:
        return _wrong_credentials(code)
    if any(sign in message for sign in _ROLES):
        return RoleNotReadyError(f"{what}: its role cannot be assumed: the role must trust {service}.amazonaws.com")
    if code in _DENIED:
        found = _ACTION.search(message)
        action = found[1] if found else f"{service}:{_ACTIONS.get(operation, operation)}"
        return PlatformError(f"{what}: you may not {action}: have it allowed for the role or user of --profile")
    if quota := _MEMORY.search(message):
        return PlatformError(
            f"{what} needs more memory than the account's quota, {quota[1]} MB: ask for more at Service Quotas "
            "(Lambda), or plan with a price book whose memory_max_mib is that"
        )
    return PlatformError(f"{what}: {_ANSWERS[code]} ({text})" if code in _ANSWERS else f"{error}{_hint(message)}")


def _wrong_credentials(code: str) -> UsageError:
    """What services say of signatures is long, and none of a terminal's business."""
    if code in _EXPIRED:
        return UsageError(f"the credentials have expired ({code}): get new ones, such as by aws sso login")
    return UsageError(f"AWS does not take the credentials ({code}): look at --profile, or $AWS_ACCESS_KEY_ID")


def _hint(message: str) -> str:
    lower = message.lower()
    if "unzipped size" in lower:
        return ": --package-kind image takes 10 GB"
    if "unreservedconcurrentexecution" in lower:
        return ": lower --reserved-concurrency, or ask for more concurrent executions at Service Quotas"
    if "not supported" in lower or "not available" in lower:
        return ": another --region may have it"
    return ""


def one_line(text: str) -> str:
    """A text without line breaks, of bounded length."""
    plain = " ".join(text.split())
    return plain if len(plain) <= _MOST_TEXT else f"{plain[:_MOST_TEXT]}.."
