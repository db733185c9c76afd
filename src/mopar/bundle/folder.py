"""File entries of a bundle's manifest."""

from pathlib import Path

from mopar.files import sha256_of
from mopar.types import FileEntry

MANIFEST = "manifest.json"


def file_entries(root: Path, files: tuple[Path, ...]) -> tuple[FileEntry, ...]:
    """The manifest's entries of files below ``root``."""
    return tuple(FileEntry(path.relative_to(root).as_posix(), path.stat().st_size, sha256_of(path)) for path in files)
