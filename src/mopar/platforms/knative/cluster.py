"""A cluster, by the official Kubernetes client: it finds the cluster and proves who asks; the objects are ours."""

from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from mopar.files import JSON_ERRORS
from mopar.platforms.knative.live import Applied, Live, LiveList, Reference
from mopar.types import PlatformError, UsageError

_T = TypeVar("_T")
_TIMEOUT_S = 30.0
_MANAGER = "mopar"
_PLURALS = {"Service": "services", "Deployment": "deployments"}
KINDS = (("serving.knative.dev/v1", "Service"), ("apps/v1", "Deployment"), ("v1", "Service"))
"""Versions and kinds of the objects that deployments are made of."""


class Cluster:
    """Objects of one namespace.

    Args:
        context: of the user's kubeconfig; empty for its current one.
        namespace: of the objects.

    Raises:
        UsageError: the client is not installed, or the kubeconfig has no such context.
    """

    def __init__(self, context: str, namespace: str) -> None:
        try:
            from kubernetes import config
        except ImportError as cause:
            raise UsageError(
                "deploying to a cluster needs the package kubernetes: pip install mopar[kubernetes]"
            ) from cause
        try:
            self._api: Any = config.new_client_from_config(context=context or None)
        except (config.ConfigException, OSError) as cause:
            raise UsageError(f"no cluster: {' '.join(str(cause).split())}: see kubectl config get-contexts") from cause
        self._namespace = namespace

    def close(self) -> None:
        """Close its connections."""
        self._api.close()

    def apply(self, applied: Applied) -> None:
        """Create an object, or change it to what was applied. Raises PlatformError, UsageError."""
        query = [("fieldManager", _MANAGER), ("force", "true")]
        failure = f"{applied.reference} cannot be applied"
        if self._ask("PATCH", self._path_of(applied.reference), failure, query, applied.text) is None:
            kind = applied.reference
            raise PlatformError(f"{failure}: the cluster has no {kind.api_version} {kind.kind}, or no such namespace")

    def get(self, reference: Reference) -> Live | None:
        """An object; None where there is none. Raises PlatformError, UsageError."""
        body = self._ask("GET", self._path_of(reference), f"{reference} cannot be asked for")
        return None if body is None else _decoded(body, Live)

    def labelled(self, api_version: str, kind: str, selector: str) -> list[Live]:
        """Objects with a label, such as ``mopar.deployment=resnet50``. Raises PlatformError, UsageError."""
        failure = f"{_PLURALS[kind]} of {api_version} cannot be listed"
        body = self._ask("GET", self._path(api_version, kind), failure, [("labelSelector", selector)])
        return [] if body is None else _decoded(body, LiveList).items  # None where the cluster knows no such objects

    def delete(self, reference: Reference) -> bool:
        """Delete an object, and what it made; False where there is none. Raises PlatformError, UsageError."""
        query = [("propagationPolicy", "Foreground")]
        return self._ask("DELETE", self._path_of(reference), f"{reference} cannot be deleted", query) is not None

    def _path_of(self, reference: Reference) -> str:
        return f"{self._path(reference.api_version, reference.kind)}/{quote(reference.name)}"

    def _path(self, api_version: str, kind: str) -> str:
        root = "/apis" if "/" in api_version else "/api"
        return f"{root}/{api_version}/namespaces/{quote(self._namespace)}/{_PLURALS[kind]}"

    def _ask(
        self, method: str, path: str, failure: str, query: list[tuple[str, str]] | None = None, body: str | None = None
    ) -> bytes | None:
        """The body of an answer; None for 404."""
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/apply-patch+yaml"  # JSON is YAML
        try:
            request = self._api.param_serialize(
                method, path, query_params=query or [], header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response = self._api.call_api(*request, _request_timeout=_TIMEOUT_S)
            status: int = response.status
            data: bytes = response.read()
        except Exception as error:  # urllib3's own, and those of plugins that log in
            raise PlatformError(
                f"{failure}: the cluster cannot be reached: {' '.join(str(error).split())[:300]}"
            ) from error
        if status == 404:
            return None
        if not 200 <= status < 300:
            raise _refusal(failure, status, data)
        return data


class _Status(msgspec.Struct, frozen=True):
    """What a cluster says of a request that it refuses."""

    message: str = ""


def _refusal(failure: str, status: int, body: bytes) -> PlatformError | UsageError:
    try:
        said = msgspec.json.decode(body, type=_Status).message
    except JSON_ERRORS:
        said = ""
    why = " ".join(said.split())[:300] or f"status {status}"
    if status in {401, 403}:
        return UsageError(f"{failure}: {why}: see who you are with kubectl auth whoami")
    return PlatformError(f"{failure}: {why}")


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except JSON_ERRORS as cause:
        raise PlatformError(f"the cluster's answer cannot be read: {cause}") from cause
