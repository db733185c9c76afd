"""The platforms that bundles can be deployed to, by name.

Installed packages add more by entry points: in the group ``mopar.platforms``, a name and an object that implements
``mopar.platforms.deploying.Platform``. A platform is imported only when it is named.
"""

import importlib
from importlib.metadata import EntryPoint, entry_points

from mopar.platforms.deploying import AnyPlatform
from mopar.types import UsageError

_GROUP = "mopar.platforms"
_OWN = {
    "aws-lambda": "mopar.platforms.aws_lambda.platform:PLATFORM",
    "container": "mopar.platforms.container.platform:PLATFORM",
    "local": "mopar.platforms.local.background:PLATFORM",
    "cloud-run": "mopar.platforms.knative.packaging:CLOUD_RUN",
    "knative": "mopar.platforms.knative.platform:KUBERNETES",
    "openfaas": "mopar.platforms.openfaas.platform:PLATFORM",
}


def platform_names() -> tuple[str, ...]:
    """The platforms that come with mopar and with installed packages."""
    return tuple(sorted({*_OWN, *_plugins()}))


def platform_named(name: str) -> AnyPlatform:
    """The platform of that name.

    Raises:
        UsageError: there is none, or a package's cannot be loaded.
    """
    plugins = _plugins()
    if name in _OWN and name in plugins:
        raise UsageError(f"platform {name!r}: {plugins[name].value} brings one of mopar's own name")
    if name in _OWN:
        module, _, attribute = _OWN[name].partition(":")
        own: AnyPlatform = getattr(importlib.import_module(module), attribute)
        return own
    if name not in plugins:
        raise UsageError(f"nothing is deployed to a platform {name!r}: choose from {', '.join(platform_names())}")
    try:
        found: AnyPlatform = plugins[name].load()
    except (ImportError, AttributeError) as cause:
        raise UsageError(f"platform {name!r}: {plugins[name].value} cannot be loaded: {cause}") from cause
    return found


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=_GROUP)}
