"""Changes to a deployment's objects that can be taken back as a whole."""

import time
from collections.abc import Sequence

from mopar.platforms.deploying import Tell
from mopar.platforms.knative.cluster import KINDS, Cluster
from mopar.platforms.knative.live import Applied, Live, Reference, applied_again, applied_of, missing, reference_of
from mopar.platforms.knative.objects import Manifest
from mopar.platforms.names import DEPLOYMENT_LABEL, FUNCTION_LABEL
from mopar.types import MoparError, PlatformError, UsageError

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_GONE_S = 120.0


class Rollout:
    """Applies and deletes objects, and remembers how to take that back.

    Args:
        cluster: that they are in.
        deployment: that they belong to.
        tell: is told each stage.
    """

    def __init__(self, cluster: Cluster, deployment: str, tell: Tell) -> None:
        self._cluster = cluster
        self._deployment = deployment
        self._tell = tell
        self._made: list[Reference] = []
        self._before: list[Applied] = []

    def apply(self, manifest: Manifest) -> None:
        """Create or change an object. Raises UsageError where it is somebody else's, PlatformError."""
        reference = reference_of(manifest)
        self._tell(f"applying {reference}")
        live = self._cluster.get(reference)
        if live is None:
            self._made.append(reference)
        else:
            self._before.append(self._earlier(reference, live))
        self._cluster.apply(applied_of(manifest))

    def drop(self, reference: Reference, live: Live) -> None:
        """Delete an object of the deployment, and wait until it is gone. Raises PlatformError."""
        self._tell(f"removing {reference}")
        self._before.append(self._earlier(reference, live))
        if delete_all(self._cluster, [reference]):
            raise PlatformError(f"{reference} was deleted and is still there after {_GONE_S:g} s")

    def await_ready(self, references: Sequence[Reference], timeout_s: float) -> None:
        """Wait until objects are ready. Raises PlatformError naming one that is not."""
        deadline, pause_s = time.monotonic() + timeout_s, _FIRST_PAUSE_S
        while late := self._late(references):
            if time.monotonic() + pause_s > deadline:
                item, live, why = late[0]
                function = "" if live is None else f"function {live.label(FUNCTION_LABEL)}: "
                raise PlatformError(
                    f"{function}{item} was not ready within {timeout_s:g} s: {why}: its limit of memory may be too "
                    "small, or its image cannot be pulled: see kubectl describe"
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def undo(self) -> tuple[str, ...]:
        """Take all changes back, as far as the cluster lets it; what is not as it was."""
        self._tell("taking changes back")
        left = [str(reference) for reference in delete_all(self._cluster, self._made)]
        for applied in self._before:
            try:
                self._cluster.apply(applied)
            except MoparError:
                left.append(str(applied.reference))
        return tuple(left)

    def _late(self, references: Sequence[Reference]) -> list[tuple[Reference, Live | None, str]]:
        """Objects that are not ready, and why."""
        found = [(reference, self._cluster.get(reference)) for reference in references]
        return [(reference, live, why) for reference, live in found if (why := missing(reference, live))]

    def _earlier(self, reference: Reference, live: Live) -> Applied:
        if live.label(DEPLOYMENT_LABEL) != self._deployment or not live.request:
            raise UsageError(
                f"{reference} has no label {DEPLOYMENT_LABEL}={self._deployment}, so it is not this deployment's: "
                "choose another --name"
            )
        return applied_again(reference, live.request)


def objects_of(cluster: Cluster, deployment: str) -> dict[Reference, Live]:
    """All objects of a deployment. Raises PlatformError, UsageError."""
    found = {}
    for api_version, kind in KINDS:
        for live in cluster.labelled(api_version, kind, f"{DEPLOYMENT_LABEL}={deployment}"):
            # Knative makes Services of plain Kubernetes for its own, with their labels and annotations.
            if f'"apiVersion":"{api_version}"' in live.request:
                found[Reference(api_version, kind, live.metadata.name)] = live
    return found


def delete_all(cluster: Cluster, references: Sequence[Reference]) -> tuple[Reference, ...]:
    """Delete objects and wait until they are gone; those that are still there."""
    deadline, pause_s = time.monotonic() + _GONE_S, _FIRST_PAUSE_S
    left = list(references)
    while left := [reference for reference in left if not _is_gone(cluster, reference)]:
        if time.monotonic() + pause_s > deadline:
            break
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return tuple(left)


def _is_gone(cluster: Cluster, reference: Reference) -> bool:
    """Delete an object; whether there was none any more."""
    try:
        return not cluster.delete(reference)
    except MoparError:
        return False
