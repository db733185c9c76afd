"""Images for platforms that pull them from a registry: built, tagged and pushed by the engine of this machine."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mopar.bundle import Bundle, prepare
from mopar.files import cache_directory, storage_error
from mopar.platforms.container.building import build_images
from mopar.platforms.container.command import Commands
from mopar.platforms.container.engine import Engine
from mopar.platforms.container.images.gateway import GatewayPlan
from mopar.platforms.container.images.image import Image
from mopar.platforms.container.images.images import function_images, gateway_image, write_context
from mopar.platforms.deploying import Tell
from mopar.platforms.endpoints import Endpoints
from mopar.platforms.images import ImageOptions
from mopar.types import PlatformError, UsageError
from mopar.types.deployed import PackageItem

_FILE = "Dockerfile"
_REGISTRY = re.compile(
    r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:[0-9]+)?"  # host and port
    r"(/[a-z0-9]+([._-]+[a-z0-9]+)*)*/?"
)


class EngineImages:
    """Implements ``ImageBuilder``.

    Args:
        options: the engine and what to build upon.
    """

    def __init__(self, options: ImageOptions) -> None:
        self._options = options

    def build(self, bundle: Bundle, deployment: str, registry: str, tell: Tell) -> Mapping[str, str]:
        """Build the images, and tag them for the registry."""
        _check_registry(registry)
        engine = self._engine()
        images = self._images(bundle, tell)
        built = build_images(engine, deployment, images, tell)
        references = _references(images, deployment, registry)
        for name, reference in references.items():
            engine.tag(built.names[name], reference)
        return references

    def push(self, images: Mapping[str, str], tell: Tell) -> None:
        """Send the images to their registry."""
        engine = self._engine()
        for name, reference in images.items():
            tell(f"pushing the image of {name}")
            try:
                engine.push(reference)
            except PlatformError as cause:
                raise PlatformError(f"the image of {name} cannot be pushed to {reference}: {cause}") from cause

    def sizes(self, images: Mapping[str, str]) -> Mapping[str, int]:
        """What the engine says of them."""
        engine = self._engine()
        return {name: engine.size_bytes(reference) for name, reference in images.items()}

    def references(self, bundle: Bundle, deployment: str, registry: str) -> Mapping[str, str]:
        """What ``build`` would return."""
        _check_registry(registry)
        return _references(self._images(bundle, lambda _stage: None), deployment, registry)

    def contexts(self, bundle: Bundle, deployment: str, into: Path, tell: Tell) -> tuple[PackageItem, ...]:
        """Write a build context for each image."""
        images = self._images(bundle, tell)
        tell(f"writing the build contexts of {deployment}")
        try:
            for image in images:
                write_context(image.layers, {_FILE: image.containerfile()}, into / image.name)
        except OSError as cause:
            raise storage_error(cause) from cause
        return tuple(PackageItem(image.name, image.name, image.bytes) for image in images)

    def _engine(self) -> Engine:
        return Engine(Commands(self._options.engine, self._options.runtime))

    def _images(self, bundle: Bundle, tell: Tell) -> tuple[Image, ...]:
        try:
            prepared = prepare(bundle, cache_directory(), tell)
            functions = function_images(prepared, self._options.base_image, tell)
            return (*functions, gateway_image(prepared, _told_later(prepared)))
        except OSError as cause:
            raise storage_error(cause) from cause


def _told_later(bundle: Bundle) -> GatewayPlan:
    """A gateway whose environment names the functions (``mopar.platforms.endpoints.FUNCTIONS_VARIABLE``)."""
    unknown: dict[str, tuple[str, ...]] = {
        function.name: (f"http://{function.name}.invalid",) for function in bundle.manifest.plan.functions
    }
    return GatewayPlan(Endpoints(unknown), bundle.manifest.name)


def _references(images: Sequence[Image], deployment: str, registry: str) -> dict[str, str]:
    """Name of a function, or ``gateway`` -> its image's name in the registry, with a tag that says what is in it."""
    prefix = registry.rstrip("/")
    return {image.name: f"{prefix}/{deployment}-{image.name.lower()}:{image.tag}" for image in images}


def _check_registry(registry: str) -> None:
    """Raise UsageError where no image's name can begin so."""
    if not registry:
        raise UsageError("--registry is missing: where images are pushed to, such as registry.local:5000/team")
    if not _REGISTRY.fullmatch(registry):
        raise UsageError(
            f"--registry {registry}: write HOST:PORT/PATH, such as registry.local:5000/team, "
            "in lower case and without http://"
        )
