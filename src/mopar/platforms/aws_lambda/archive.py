"""Zip archives that have the same bytes for the same files, whenever and wherever they are made."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)
_FILE_MODE, _PROGRAM_MODE = 0o100644, 0o100755
_UNIX = 3
_PIECE_BYTES = 1 << 20
_BEST_LEVEL, _FAST_LEVEL = 6, 1
_LARGE_BYTES = 64 << 20
"""Weights hardly get smaller: above this size, the best level takes minutes for 1%."""


def write_archive(path: Path, files: Mapping[str, Path | bytes], programs: frozenset[str] = frozenset()) -> None:
    """Write an archive, or add to one that is there.

    Args:
        path: of the archive.
        files: name in it -> file, or contents.
        programs: names of those that can be run.

    Raises:
        OSError: a file cannot be read or written.
    """
    with zipfile.ZipFile(path, "a") as archive:
        for name, source in sorted(files.items()):
            size = source.stat().st_size if isinstance(source, Path) else len(source)
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = _UNIX
            info.external_attr = (_PROGRAM_MODE if name in programs else _FILE_MODE) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            info._compresslevel = _FAST_LEVEL if size > _LARGE_BYTES else _BEST_LEVEL  # type: ignore[attr-defined]  # noqa: SLF001 - public from Python 3.13 on
            info.file_size = size
            with archive.open(info, "w") as target:
                for piece in _pieces(source):
                    target.write(piece)


def unpacked_bytes(path: Path) -> int:
    """The bytes of all files of an archive."""
    with zipfile.ZipFile(path) as archive:
        return sum(info.file_size for info in archive.infolist())


def _pieces(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
