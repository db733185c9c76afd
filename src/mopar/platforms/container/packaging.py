"""A package for people who start containers themselves: the build context of all images, and a compose file."""

import os
import shutil
from pathlib import Path

from mopar.bundle import Bundle
from mopar.files import storage_error, swap_paths, temporary_folder
from mopar.platforms.container.compose import compose_file
from mopar.platforms.container.images.images import containerfile_name, function_images, gateway_image, write_context
from mopar.platforms.container.layout import layout_of
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.container.planning import gateway_plan, release_of
from mopar.platforms.deploying import Tell
from mopar.types import UsageError
from mopar.types.deployed import Packaged, PackageItem

_PORT = 8000
_COMPOSE = "compose.yaml"


def write_package(bundle: Bundle, name: str, into: Path, options: ContainerOptions, tell: Tell) -> Packaged:
    """Write a package; an earlier one in its place is replaced.

    Args:
        bundle: prepared for this machine.
        name: of the deployment.
        into: the folder.
        options: of the platform.
        tell: is told each stage.

    Raises:
        UsageError: an option is not for packages, or the folder is something else.
        PlatformError: Python or the engine cannot be taken from this machine.
        StorageError: it cannot be written.
    """
    if options.network == "host" or options.token_file is not None:
        raise UsageError("--network host and --token-file are chosen when a package is deployed: leave them out")
    if into.exists() and not (into / _COMPOSE).is_file():
        raise UsageError(f"-o {into}: that is there, and no package of containers: choose another path")
    layout = layout_of(name, "package", bundle, options, options.port or _PORT)
    try:
        images = (
            *function_images(bundle, options.base_image, tell),
            gateway_image(bundle, gateway_plan(layout, bundle)),
        )
        into.absolute().parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(f".{into.name}.", into.absolute().parent) as staging:
            tell("writing the build context")
            texts = {containerfile_name(image): image.containerfile() for image in images}
            write_context([layer for image in images for layer in image.layers], texts, staging)
            release = release_of(layout, bundle, {image.name: image.name for image in images})
            (staging / _COMPOSE).write_text(compose_file(bundle, name, images, release))
            staging.chmod(0o755)
            _move(staging, into)
    except OSError as cause:
        raise storage_error(cause) from cause
    items = tuple(PackageItem(image.name, containerfile_name(image), image.bytes) for image in images)
    return Packaged("container", os.fspath(into), items)


def _move(staging: Path, into: Path) -> None:
    """Put a folder in the place of an earlier one."""
    if into.exists() and not swap_paths(staging, into):
        shutil.rmtree(into)
    if staging.exists() and not into.exists():
        staging.rename(into)
