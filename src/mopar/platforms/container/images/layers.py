"""Layers of images: trees of files with fixed times and modes, so that the same files give the same bytes."""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mopar.files import NO_ROOM, cache_directory, read_json, sha256_of, temporary_folder, to_json, write_whole
from mopar.types import PlatformError

_FOLDER_MODE, _FILE_MODE, _PROGRAM_MODE = 0o755, 0o644, 0o755
_OPEN_MODE = 0o1777
_INDEX = "layer.json"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image.

    Attributes:
        name: of its folder in a build context.
        digest: of paths, modes and contents.
        bytes: of its files.
        write: writes it to a folder, which does not exist.
    """

    name: str
    digest: str
    bytes: int
    write: Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class _Index:
    """What is known of a layer that was made before."""

    digest: str
    bytes: int
    schema: int = 1


def cached_layer(name: str, facts: Sequence[object], make: Callable[[Path], None]) -> Layer:
    """A layer that is made once for each combination of facts, and kept in the user's cache.

    Args:
        name: of the layer.
        facts: on which its files depend.
        make: writes its tree to a folder.

    Raises:
        PlatformError: ``make`` raises it.
        OSError: a file cannot be read or written.
    """
    tree = cached_tree(name, facts, make)
    index = read_json(tree.parent / _INDEX, _Index, error=PlatformError)
    return Layer(name, index.digest, index.bytes, lambda into: copy_tree(tree, into))


def cached_tree(name: str, facts: Sequence[object], make: Callable[[Path], None]) -> Path:
    """The folder of a cached layer; arguments and errors as of ``cached_layer``."""
    recipes = stamps_of(sorted(Path(__file__).parent.glob("*.py")))
    key = hashlib.sha256(repr((*recipes, *facts)).encode()).hexdigest()[:24]
    home = cache_directory() / "layers" / f"{name}-{key}"
    if not (home / _INDEX).exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(f".{name}.", home.parent) as staging:
            tree = staging / "tree"
            tree.mkdir()
            make(tree)
            settle(tree)
            write_whole(staging / _INDEX, to_json(_Index(digest_of(tree), _bytes_of(tree))))
            shutil.rmtree(home, ignore_errors=True)  # an incomplete one
            staging.rename(home)
    return home / "tree"


def copy_tree(source: Path, into: Path) -> None:
    """Copy a tree with its times and modes. Raises OSError."""
    try:
        shutil.copytree(source, into, symlinks=True)
    except shutil.Error as cause:  # of several files; the first says enough
        raise _first_error(cause) from cause


def _first_error(cause: shutil.Error) -> OSError:
    """The reason of a copy that failed, as an OSError with its number where the disk is full."""
    path, _, text = cause.args[0][0]
    number = next((number for number in NO_ROOM if os.strerror(number) in str(text)), 0)
    return OSError(number, os.strerror(number) if number else str(text), str(path))


def settle(tree: Path) -> None:
    """Give all that is in a tree modes that depend on nothing but whether it can be run, and the time 0."""
    for folder, names, files in os.walk(tree, topdown=False):
        for name in files:
            path = Path(folder, name)
            path.chmod(_PROGRAM_MODE if path.stat().st_mode & 0o100 else _FILE_MODE)
            os.utime(path, (0, 0))
        del names
        path = Path(folder)
        path.chmod(_OPEN_MODE if path.stat().st_mode & 0o1000 else _FOLDER_MODE)
        os.utime(path, (0, 0))


def digest_of(tree: Path) -> str:
    """SHA-256 of a tree's paths, modes and contents."""
    digest = hashlib.sha256()
    for path in sorted(tree.rglob("*")):
        contents = "" if path.is_dir() else sha256_of(path)
        digest.update(f"{path.relative_to(tree)}\0{path.stat().st_mode:o}\0{contents}\n".encode())
    return digest.hexdigest()


def _bytes_of(tree: Path) -> int:
    return sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())


def place(tree: Path, target: str, source: Path | bytes, *, program: bool = False) -> None:
    """Write a file at an absolute path of the image below ``tree``."""
    path = tree / target.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Path):
        shutil.copyfile(source, path)
    else:
        path.write_bytes(source)
    path.chmod(_PROGRAM_MODE if program else _FILE_MODE)


def open_folder(tree: Path, target: str) -> None:
    """Make a folder that every user of the container can write to."""
    path = tree / target.lstrip("/")
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(_OPEN_MODE)


def stamps_of(files: Sequence[Path]) -> list[tuple[str, int, int]]:
    """Facts by which a change of files is noticed without reading them."""
    found = [(path, path.stat()) for path in files]
    return [(str(path), status.st_size, status.st_mtime_ns) for path, status in found]
