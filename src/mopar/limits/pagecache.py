"""The page cache: files that a measurement must find cold."""

import os
from collections.abc import Iterable
from pathlib import Path

from mopar.types import PlatformError

_CHUNK_BYTES = 1 << 20


def evict_files(paths: Iterable[Path]) -> None:
    """Drop the pages of files from the page cache, after writing back what is dirty.

    Pages that a process maps at the moment stay. Raises PlatformError naming a file that cannot be read.
    """
    for path in paths:
        try:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)  # dirty pages are not dropped
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)
        except OSError as cause:
            raise PlatformError(f"{path}: cannot be evicted from the page cache: {cause.strerror}") from cause


def read_files(paths: Iterable[Path]) -> None:
    """Bring files into the page cache, on the account of this process where they are not there yet.

    Raises PlatformError naming a file that cannot be read.
    """
    for path in paths:
        try:
            with path.open("rb", buffering=0) as file:
                while file.read(_CHUNK_BYTES):
                    pass
        except OSError as cause:
            raise PlatformError(f"{path}: cannot be read: {cause.strerror}") from cause
