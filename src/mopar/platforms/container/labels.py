"""Labels by which all that belongs to a deployment is found again: the engine is the only record of it."""

from collections.abc import Mapping

DEPLOYMENT, RELEASE, FUNCTION = "mopar.deployment", "mopar.release", "mopar.function"
MEMORY, CPU, URL = "mopar.memory_mib", "mopar.cpu", "mopar.url"


ANY_DEPLOYMENT = {DEPLOYMENT: ""}
SHARED = {"mopar.shared": "layers"}
"""The label of images that other images are built upon, whatever the deployment."""


def labels_of(deployment: str, release: str | None = None) -> dict[str, str]:
    """The labels of all that belongs to a deployment, or to one of its releases."""
    return {DEPLOYMENT: deployment, **({} if release is None else {RELEASE: release})}


def member_of(labels: Mapping[str, str]) -> str:
    """What a container is of its deployment, for messages."""
    return f"function {labels[FUNCTION]}" if FUNCTION in labels else "the gateway"
