"""Images of a bundle's functions and gateway, as platforms that take images use them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

from msgspec import Meta

from mopar.bundle import Bundle
from mopar.files import read_json
from mopar.platforms.books import load_limits
from mopar.platforms.deploying import Tell
from mopar.types import PlatformError, UsageError
from mopar.types.deployed import PackageItem

GATEWAY = "gateway"
"""The gateway's image among those of the functions. No function of a plan is called so."""
REVISION_VARIABLE = "MOPAR_REVISION"
"""Of the environment: what a function is deployed as."""
_REVISION_DIGITS = 16
_MIB = 1 << 20


class ImageBuilder(Protocol):
    """Makes the images of a bundle.

    A function's image serves HTTP on ``$PORT``, 8080 by default, as ``mopar.runtime.http`` does. The gateway's serves
    the bundle on the same port, with the functions that ``FUNCTIONS_VARIABLE`` of ``endpoints.py`` names. Both run
    as any user, on a root file system that cannot be written.
    """

    def build(self, bundle: Bundle, deployment: str, registry: str, tell: Tell) -> Mapping[str, str]:
        """Build the images.

        Args:
            bundle: what they run.
            deployment: its name.
            registry: before the images' names, such as ``registry.local:5000/team``; empty for none.
            tell: is told each stage.

        Returns:
            Function, or ``GATEWAY`` -> reference of its image.

        Raises:
            PlatformError: an image cannot be built.
        """

    def push(self, images: Mapping[str, str], tell: Tell) -> None:
        """Send built images to their registry. Raises PlatformError."""

    def sizes(self, images: Mapping[str, str]) -> Mapping[str, int]:
        """Bytes of built images, unpacked, as far as they are known here. Raises PlatformError."""

    def references(self, bundle: Bundle, deployment: str, registry: str) -> Mapping[str, str]:
        """What ``build`` would return, without building. Raises UsageError."""

    def contexts(self, bundle: Bundle, deployment: str, into: Path, tell: Tell) -> tuple[PackageItem, ...]:
        """Write what each image is built from to ``into``: a folder with a ``Dockerfile`` each.

        Returns:
            The folders, by function or ``GATEWAY``, relative to ``into``; none where the images exist already.

        Raises:
            PlatformError: it cannot be written.
        """


@dataclass(frozen=True, slots=True)
class GivenImages:
    """Implements ``ImageBuilder`` with images that exist already, by references in a JSON file.

    ``{"f0": "registry.local:5000/team/resnet50-f0@sha256:..", "gateway": ".."}``
    """

    path: Path

    def build(self, bundle: Bundle, deployment: str, registry: str, tell: Tell) -> Mapping[str, str]:  # noqa: ARG002 - of the Protocol
        """The references. Raises UsageError where a function has none."""
        return self.references(bundle, deployment, registry)

    def references(self, bundle: Bundle, deployment: str, registry: str) -> Mapping[str, str]:  # noqa: ARG002 - of the Protocol
        """The same."""
        return self.chosen([function.name for function in bundle.manifest.plan.functions])

    def chosen(self, functions: Sequence[str]) -> Mapping[str, str]:
        """The references in the file. Raises UsageError where one of these functions has none."""
        found = read_json(self.path, dict[str, str], error=UsageError)
        for function in functions:
            if not found.get(function):
                raise UsageError(f"--images {self.path}: there is no image of function {function}")
        return found

    def push(self, images: Mapping[str, str], tell: Tell) -> None:
        """Nothing: whoever built them did."""

    def sizes(self, images: Mapping[str, str]) -> Mapping[str, int]:  # noqa: ARG002 - of the Protocol
        """None: they are not here."""
        return {}

    def contexts(self, bundle: Bundle, deployment: str, into: Path, tell: Tell) -> tuple[PackageItem, ...]:  # noqa: ARG002 - of the Protocol
        """None."""
        return ()


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """Where images come from: what platforms that pull them from a registry take."""

    images: Annotated[
        Path | None,
        Meta(description='JSON file of images that exist: {"f0": "registry/name-f0:tag", ..}; default: they are built'),
    ] = None
    registry: Annotated[str, Meta(description="where built images are pushed to, such as registry.local:5000/team")] = (
        ""
    )
    engine: Annotated[
        str | None, Meta(description="builds images: podman, docker or a path; default: podman, or else docker")
    ] = None
    runtime: Annotated[str | None, Meta(description="the engine's own --runtime, such as runc")] = None
    base_image: Annotated[
        str | None, Meta(description="image with python3 to build functions upon; default: this machine's own Python")
    ] = None


def chosen_images(options: ImageOptions) -> ImageBuilder:
    """The images that exist, or the builder of new ones."""
    if options.images is not None:
        return GivenImages(options.images)
    from mopar.platforms.container.builder import EngineImages  # not for platforms whose images exist

    return EngineImages(options)


def push_what_fits(builder: ImageBuilder, images: Mapping[str, str], platform: str, tell: Tell) -> None:
    """Send built images to their registry, unless one is larger than the platform's limits state.

    Raises:
        PlatformError: an image is too large, or cannot be pushed; names it.
    """
    most = load_limits(platform).package_bytes
    if most is not None:
        for name, size in builder.sizes(images).items():
            if size > most:
                raise PlatformError(
                    f"the image of {name} has {size / _MIB:.1f} MiB, and {platform} takes {most / _MIB:.1f} MiB: "
                    "plan more, smaller functions"
                )
    builder.push(images, tell)


def revision_of(bundle: Bundle, function: str, image: str) -> str:
    """What a function is deployed as: a digest of its image's reference and of its graphs."""
    import hashlib

    digest = hashlib.sha256(image.encode())
    for graph in bundle.graphs_of(function):
        digest.update(graph.id.encode())
        for entry in graph.files:
            digest.update(bytes.fromhex(entry.sha256))
    return digest.hexdigest()[:_REVISION_DIGITS]
