"""Names of deployments, and of what a platform makes for them."""

import re

from mopar.types import UsageError

DEPLOYMENT_LABEL, FUNCTION_LABEL = "mopar.deployment", "mopar.function"
"""Labels of what a platform runs: of which deployment it is, and which of its functions."""

_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
MOST_CHARACTERS = 40
"""So that a function's name after it still fits into the 63 characters of a DNS label."""
_LABEL_CHARACTERS = 63


def checked_name(name: str) -> str:
    """A deployment's name, as it is. Raises UsageError where it is no DNS label of at most MOST_CHARACTERS."""
    if not _NAME.fullmatch(name) or len(name) > MOST_CHARACTERS:
        raise UsageError(
            f"--name {name!r}: write up to {MOST_CHARACTERS} lower-case letters, digits and hyphens, a letter first"
        )
    return name


def name_from(model: str) -> str:
    """A deployment's name from a model's, such as ``resnet-50`` from ``ResNet_50``."""
    letters = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")[:MOST_CHARACTERS].strip("-")
    return letters if _NAME.fullmatch(letters) else f"model-{letters}".strip("-")[:MOST_CHARACTERS].strip("-")


def member_name(deployment: str, member: str) -> str:
    """The name that a platform knows a deployment's function or gateway by: a DNS label.

    Raises:
        UsageError: it would be too long.
    """
    name = f"{deployment}-{name_from(member) if not _NAME.fullmatch(member) else member}"
    if len(name) > _LABEL_CHARACTERS:
        raise UsageError(f"{name} has {len(name)} characters, and a platform takes {_LABEL_CHARACTERS}: shorten --name")
    return name
