"""Images that nobody pulls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mopar.bundle import Bundle
from mopar.platforms.deploying import Tell
from mopar.platforms.images import GATEWAY
from mopar.types.deployed import PackageItem


@dataclass
class NoImages:
    """Implements ``ImageBuilder``: references alone."""

    tag: str = "1"
    pushed: list[str] = field(default_factory=list)

    def build(self, bundle: Bundle, deployment: str, registry: str, tell: Tell) -> Mapping[str, str]:
        tell("building")
        return self.references(bundle, deployment, registry)

    def sizes(self, images: Mapping[str, str]) -> Mapping[str, int]:
        return dict.fromkeys(images, len(self.tag))

    def references(self, bundle: Bundle, deployment: str, registry: str) -> Mapping[str, str]:
        names = [function.name for function in bundle.manifest.plan.functions]
        return {name: f"{registry}/{deployment}-{name}:{self.tag}" for name in [*names, GATEWAY]}

    def push(self, images: Mapping[str, str], tell: Tell) -> None:
        tell("pushing")
        self.pushed += images.values()

    def contexts(self, bundle: Bundle, deployment: str, into: Path, tell: Tell) -> tuple[PackageItem, ...]:
        tell(f"writing {bundle.root} for {deployment} to {into}")
        return ()
