"""Builds the images of a deployment that the engine does not have yet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mopar.files import storage_error, temporary_folder
from mopar.platforms.container.engine import Engine
from mopar.platforms.container.found import remove_images
from mopar.platforms.container.images.image import Image, layer_file, tag_of
from mopar.platforms.container.images.images import write_context
from mopar.platforms.container.images.layers import Layer
from mopar.platforms.container.labels import SHARED, labels_of
from mopar.types import PlatformError, StorageError

_PREFIX = "localhost/mopar"
_FILE = "Containerfile"


@dataclass(frozen=True, slots=True)
class Built:
    """Images in an engine.

    Attributes:
        names: what was asked for -> its name with its tag.
        new: names of those that were not there before.
    """

    names: dict[str, str]
    new: tuple[str, ...]


def image_name(deployment: str, image: Image) -> str:
    """An image's name and tag, which says what is in it."""
    return f"{_PREFIX}/{deployment}-{image.name.lower()}:{image.tag}"


def build_images(engine: Engine, deployment: str, images: Sequence[Image], tell: Callable[[str], None]) -> Built:
    """Build what is missing; where one fails, those before it are removed again.

    Each layer that images share is an image of its own: otherwise an engine would compare all its files again for
    every image that begins with it.

    Raises:
        PlatformError: an image cannot be built; names it.
        StorageError: the disk is full.
    """
    names = {image.name: image_name(deployment, image) for image in images}
    there = set(engine.names("image", labels_of(deployment)))
    missing = [image for image in images if names[image.name] not in there]
    new = tuple(names[image.name] for image in missing)
    try:
        for image in missing:
            with _failing_as(f"the image of {image.name}"):
                upon = _shared(engine, image.layers[:-1], image.base, tell)
                tell(f"building the image of {image.name}")
                _build(engine, image.layers[-1:], image.containerfile(upon), names[image.name], labels_of(deployment))
    except BaseException:  # an interrupt too, after which the engine may have finished an image
        remove_images(engine, new)
        raise
    return Built(names, new)


def _shared(engine: Engine, layers: Sequence[Layer], base: str | None, tell: Callable[[str], None]) -> str:
    """The name of an image with these layers upon ``base``; what is missing of it is built, layer by layer."""
    if not layers:
        return base or "scratch"
    name = f"{_PREFIX}/{layers[-1].name}:{tag_of(base or '', layers)}"
    if name not in engine.names("image", SHARED):
        upon = _shared(engine, layers[:-1], base, tell)
        tell(f"building the layer {layers[-1].name}")
        _build(engine, layers[-1:], layer_file(layers[-1], upon), name, SHARED)
    return name


def _build(engine: Engine, layers: Sequence[Layer], containerfile: str, name: str, labels: Mapping[str, str]) -> None:
    with temporary_folder("mopar-images-") as folder:
        context = Path(folder, "context")
        write_context(layers, {_FILE: containerfile}, context)
        engine.build(context, _FILE, name, labels)


@contextmanager
def _failing_as(what: str) -> Iterator[None]:
    """Have errors name what could not be built."""
    try:
        yield
    except OSError as cause:
        raise StorageError(f"{what} cannot be built: {storage_error(cause)}") from cause
    except PlatformError as cause:
        raise PlatformError(f"{what} cannot be built: {cause}") from cause
