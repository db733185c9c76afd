"""What Lambda and its emulator answer where a function does not."""

import msgspec

from mopar.files import JSON_ERRORS
from mopar.platforms.aws_lambda.errors import one_line

_MOST_BYTES = 64 << 10
_MOST_TEXT_BYTES = 200


class Fault(msgspec.Struct):
    """The document of a fault."""

    errorType: str = ""  # noqa: N815 - Lambda's names
    errorMessage: str = ""  # noqa: N815 - the same


def fault_of(body: bytes | memoryview) -> str | None:
    """Why an answer is none of the function's own; None where it is one."""
    if len(body) > _MOST_BYTES:
        return None
    try:
        found = msgspec.json.decode(body, type=Fault)
    except JSON_ERRORS:
        return text_of(body)
    if found.errorType and found.errorMessage:
        return f"{found.errorType}: {found.errorMessage}"
    return found.errorType or found.errorMessage or None


def text_of(body: bytes | memoryview) -> str:
    """The beginning of an answer, in one line."""
    return one_line(bytes(body[:_MOST_TEXT_BYTES]).decode(errors="replace")) or "an empty answer"
