"""Documents of OpenFaaS's REST API, as far as they are used here. What else an answer has is skipped.

Source: the API's OpenAPI description, https://github.com/openfaas/faas/blob/master/api-docs/spec.openapi.yml.
"""

import msgspec


class Resources(msgspec.Struct, frozen=True):
    """Kubernetes quantities (``mopar.platforms.quantities``)."""

    memory: str
    cpu: str


class FunctionSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A function to create or to update."""

    service: str
    image: str
    limits: Resources
    requests: Resources
    namespace: str = ""
    env_vars: dict[str, str] = {}
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    read_only_root_filesystem: bool = False


class FunctionStatus(msgspec.Struct, frozen=True, rename="camel"):
    """A function as the platform tells of it. One function alone is told of without its limits."""

    name: str
    image: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    replicas: float = 0
    available_replicas: float = 0

    def label(self, key: str) -> str:
        """The value of a label; empty where it has none."""
        return (self.labels or {}).get(key, "")

    def annotation(self, key: str) -> str:
        """The value of an annotation; empty where it has none."""
        return (self.annotations or {}).get(key, "")


class FunctionToDelete(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A function to delete."""

    function_name: str
    namespace: str = ""


class ScaleTo(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Replicas that a function is to have."""

    service_name: str
    replicas: int
    namespace: str = ""
