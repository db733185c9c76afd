"""Folders that ``mopar package`` writes: whole or not at all."""

from collections.abc import Callable
from pathlib import Path

from mopar.files import (
    check_output,
    from_json,
    read_bounded,
    replace_folder,
    storage_error,
    temporary_folder,
    to_json,
    write_whole,
)
from mopar.types import UsageError
from mopar.types.deployed import Packaged, PackageItem

RECORD = "mopar-package.json"
"""What says that a folder is a package, and what is in it."""


def write_package(into: Path, platform: str, fill: Callable[[Path], tuple[PackageItem, ...]]) -> Packaged:
    """Write a package, or replace an earlier one; where this fails, the folder is as it was.

    Args:
        into: the folder.
        platform: that it is for.
        fill: writes the package to an empty folder and returns its items.

    Raises:
        UsageError: there is something else at ``into``.
        StorageError: it cannot be written.
    """
    check_output(into, folder=True)
    if into.exists() and any(into.iterdir()) and not _is_package(into):
        raise UsageError(f"-o {into}: that is no package of mopar's: choose another folder")
    target = into.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(f".{target.name}.", target.parent) as staging:
            packaged = Packaged(platform, str(into), fill(staging))
            write_whole(staging / RECORD, to_json(packaged))
            staging.chmod(0o755)
            replace_folder(staging, target)
    except OSError as cause:
        raise storage_error(cause, into) from cause
    return packaged


def bytes_below(path: Path) -> int:
    """Bytes of a file, or of all regular files in a folder."""
    paths = [path] if path.is_file() else path.rglob("*")
    return sum(found.stat().st_size for found in paths if found.is_file() and not found.is_symlink())


def _is_package(folder: Path) -> bool:
    try:
        from_json(read_bounded(folder / RECORD), Packaged, what=str(folder), error=UsageError)
    except (OSError, UsageError):
        return False
    return True
