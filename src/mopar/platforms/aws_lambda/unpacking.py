"""A package's files in a folder, as a function finds them in ``/var/task``."""

import shutil
import zipfile
from pathlib import Path

from mopar.files import require_room, storage_error
from mopar.platforms.aws_lambda.contexts import TASK_ROOT
from mopar.platforms.aws_lambda.function_package import FunctionPackage
from mopar.platforms.container.images.image import LAYERS


def unpack(package: FunctionPackage, into: Path) -> None:
    """Write a package's files.

    Args:
        package: an archive, or an image's build context.
        into: the folder, which does not exist.

    Raises:
        StorageError: they cannot be read or written.
    """
    try:
        into.mkdir(parents=True)
        require_room(into, package.unpacked_bytes)
        if package.kind == "zip":
            with zipfile.ZipFile(package.path) as archive:
                archive.extractall(into)
            return
        for layer in sorted((package.path / LAYERS).iterdir()):
            if (task := layer / TASK_ROOT.lstrip("/")).is_dir():
                shutil.copytree(task, into, dirs_exist_ok=True)
    except (OSError, zipfile.BadZipFile, shutil.Error) as cause:
        raise storage_error(cause if isinstance(cause, OSError) else OSError(str(cause)), package.path) from cause
