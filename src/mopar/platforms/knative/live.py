"""Objects as a cluster tells of them: what they are, what they were made from, and whether they are ready."""

from dataclasses import dataclass
from typing import Any

import msgspec

from mopar.platforms.knative.objects import Manifest

REQUEST = "mopar.request"
"""Annotation: the manifest that an object was made from, to make it again where a later change fails."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Which object is meant."""

    api_version: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Applied:
    """An object as it is applied: JSON, the annotation of what it was made from included."""

    reference: Reference
    text: str


class LiveMetadata(msgspec.Struct, frozen=True):
    """Of an object."""

    name: str
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class LiveSpec(msgspec.Struct, frozen=True):
    """Of a Deployment; other objects have no such field."""

    replicas: int = 0


class Condition(msgspec.Struct, frozen=True):
    """One of an object's conditions."""

    type: str
    status: str
    message: str = ""


class LiveStatus(msgspec.Struct, frozen=True, rename="camel"):
    """Of a Knative service or of a Deployment."""

    observed_generation: int = 0
    conditions: list[Condition] = []
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0


class Live(msgspec.Struct, frozen=True):
    """An object."""

    metadata: LiveMetadata
    spec: LiveSpec = LiveSpec()
    status: LiveStatus = LiveStatus()

    def label(self, key: str) -> str:
        """The value of a label; empty where it has none."""
        return self.metadata.labels.get(key, "")

    @property
    def request(self) -> str:
        """The manifest that it was made from, as JSON; empty where it does not say so."""
        return self.metadata.annotations.get(REQUEST, "")


class LiveList(msgspec.Struct, frozen=True):
    """Objects of one kind."""

    items: list[Live] = []


def reference_of(manifest: Manifest) -> Reference:
    """The object that a manifest describes."""
    return Reference(manifest.api_version, manifest.kind, manifest.name)


def applied_of(manifest: Manifest) -> Applied:
    """A manifest as it is applied."""
    return applied_again(reference_of(manifest), msgspec.json.encode(manifest).decode())


def applied_again(reference: Reference, request: str) -> Applied:
    """An object as it was applied, by its annotation."""
    document: dict[str, Any] = msgspec.json.decode(request)
    document["metadata"].setdefault("annotations", {})[REQUEST] = request
    return Applied(reference, msgspec.json.encode(document).decode())


def missing(reference: Reference, live: Live | None) -> str:
    """Why an object is not ready, as the end of a message; empty where it is."""
    if live is None:
        return "it is not there"
    if reference.api_version == "v1":
        return ""
    if live.status.observed_generation < live.metadata.generation:
        return "its controller has not seen it"
    return _missing_replicas(live) if reference.kind == "Deployment" else _missing_condition(live)


def _missing_replicas(live: Live) -> str:
    status, wanted = live.status, live.spec.replicas
    if status.replicas == status.updated_replicas == status.available_replicas == wanted:
        return ""
    return f"{min(status.updated_replicas, status.available_replicas)} of its {wanted} replicas are there"


def _missing_condition(live: Live) -> str:
    for condition in live.status.conditions:
        if condition.type == "Ready":
            return (
                "" if condition.status == "True" else condition.message or f"its condition Ready is {condition.status}"
            )
    return "it has no condition Ready"
