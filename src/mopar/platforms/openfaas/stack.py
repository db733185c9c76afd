"""``stack.yaml``: a deployment as ``faas-cli`` builds, pushes and deploys it.

Source of the keys: https://docs.openfaas.com/reference/yaml/.
"""

from collections.abc import Mapping, Sequence

import msgspec

from mopar.platforms.openfaas.members import Member
from mopar.platforms.openfaas.options import OpenFaasOptions
from mopar.platforms.openfaas.wire import Resources

FILE = "stack.yaml"
_DOCKERFILE = "dockerfile"
"""The language of a folder that has a Dockerfile, which is built as it is."""


class _Provider(msgspec.Struct, frozen=True):
    name: str
    gateway: str


class _Function(msgspec.Struct, frozen=True, omit_defaults=True):
    image: str
    limits: Resources
    requests: Resources
    environment: dict[str, str]
    labels: dict[str, str]
    annotations: dict[str, str]
    readonly_root_filesystem: bool
    lang: str = ""
    handler: str = ""
    skip_build: bool = False
    secrets: tuple[str, ...] = ()
    namespace: str = ""


class _Stack(msgspec.Struct, frozen=True):
    version: str
    provider: _Provider
    functions: dict[str, _Function]


def stack_yaml(members: Sequence[Member], contexts: Mapping[str, str], options: OpenFaasOptions) -> bytes:
    """The file's contents.

    Args:
        members: of the deployment.
        contexts: function -> folder that its image is built from, relative to the file; without one it exists.
        options: of the platform.
    """
    functions = {}
    for member in members:
        spec, context = member.spec, contexts.get(member.function)
        functions[member.name] = _Function(
            image=spec.image,
            limits=spec.limits,
            requests=spec.requests,
            environment=spec.env_vars,
            labels=spec.labels,
            annotations=spec.annotations,
            readonly_root_filesystem=spec.read_only_root_filesystem,
            lang=_DOCKERFILE,
            handler=f"./{context or '.'}",
            skip_build=context is None,
            secrets=spec.secrets,
            namespace=options.namespace,
        )
    return msgspec.yaml.encode(_Stack("1.0", _Provider("openfaas", options.gateway), functions), order="sorted")
