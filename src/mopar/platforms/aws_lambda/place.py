"""Paths of Lambda's API."""

from urllib.parse import quote

from mopar.types import UsageError

PATH = "/2015-03-31/functions/"


def function_path(place: str) -> tuple[str, str]:
    """Path and query of calls of a function: its name or ARN, with a version or alias after a colon.

    Raises:
        UsageError: it is none.
    """
    parts = place.split(":")
    named = parts[:7] if parts[0] == "arn" else parts[:1]
    rest = parts[len(named) :]
    if len(rest) > 1 or not named[-1] or (parts[0] == "arn" and (len(named) < 7 or parts[5] != "function")):
        raise UsageError(f"{place} is no function of Lambda: write its name or ARN, with :ALIAS after it")
    return quote(":".join(named), safe=""), f"Qualifier={quote(rest[0], safe='')}" if rest else ""
