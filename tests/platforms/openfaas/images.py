"""Images that are no images: files in a folder, which the fake platform starts processes from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mopar.bundle import MANIFEST, Bundle
from mopar.platforms.deploying import Tell
from mopar.platforms.images import GATEWAY
from mopar.platforms.local import worker_spec
from mopar.platforms.local.door import DoorSpec
from mopar.types import Function
from mopar.types.deployed import PackageItem

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(1000)
"""
"""A function that heeds no SIGTERM, and serves nothing."""


class Image(msgspec.Struct):
    """What runs: a function by its configuration, a gateway by its bundle, or else some code."""

    config: str = ""
    bundle: str = ""
    code: str = ""


@dataclass
class FakeImages:
    """Implements ``ImageBuilder`` with a folder in place of a registry."""

    folder: Path
    broken: frozenset[str] = frozenset()
    pushed: list[str] = field(default_factory=list)

    def build(self, bundle: Bundle, deployment: str, registry: str, tell: Tell) -> Mapping[str, str]:
        images = self.references(bundle, deployment, registry)
        for function in bundle.manifest.plan.functions:
            tell(f"building {function.name}")
            if function.name not in self.broken:
                self.add(images[function.name], Image(config=_config(bundle, function)))
        self.add(images[GATEWAY], Image(bundle=str(bundle.root)))
        return images

    def sizes(self, images: Mapping[str, str]) -> Mapping[str, int]:
        return {name: path_of(self.folder, reference).stat().st_size for name, reference in images.items()}

    def references(self, bundle: Bundle, deployment: str, registry: str) -> Mapping[str, str]:
        tag = hashlib.sha256((bundle.root / MANIFEST).read_bytes()).hexdigest()[:8]
        names = [function.name for function in bundle.manifest.plan.functions]
        return {name: f"{registry}/{deployment}-{name}:{tag}" for name in [*names, GATEWAY]}

    def push(self, images: Mapping[str, str], tell: Tell) -> None:
        tell("pushing")
        self.pushed += images.values()

    def contexts(self, bundle: Bundle, deployment: str, into: Path, tell: Tell) -> tuple[PackageItem, ...]:
        tell(f"writing {deployment}")
        items = []
        for function in bundle.manifest.plan.functions:
            (into / function.name).mkdir()
            (into / function.name / "Dockerfile").write_text("FROM scratch\n")
            items.append(PackageItem(function.name, function.name, 13))
        return tuple(items)

    def add(self, reference: str, image: Image) -> None:
        path_of(self.folder, reference).write_bytes(msgspec.json.encode(image))


def read_image(folder: Path, reference: str) -> Image | None:
    """The image of a reference; None where there is none."""
    path = path_of(folder, reference)
    return msgspec.json.decode(path.read_bytes(), type=Image) if path.exists() else None


def path_of(folder: Path, reference: str) -> Path:
    return folder / f"{hashlib.sha256(reference.encode()).hexdigest()}.json"


def _config(bundle: Bundle, function: Function) -> str:
    entries = tuple(bundle.graphs_of(function.name))
    return DoorSpec(worker_spec(bundle, function), entries, function.memory_mib << 20).config().decode()
