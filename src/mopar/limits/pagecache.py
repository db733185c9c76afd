"""Evicting files from the page cache, so that a measurement starts with a cold cache."""

import os
from collections.abc import Iterable
from pathlib import Path

from mopar.types import PlatformError

_CHUNK_BYTES = 1 << 20


def evict_files(paths: Iterable[Path]) -> None:
    """Drop the pages of files from the page cache, after writing back dirty pages.

    Pages that a process currently maps stay. Raises PlatformError naming a file that cannot be read.
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
    """Bring files into the page cache; pages that were not cached are charged to this process.

    Raises PlatformError naming a file that cannot be read.
    """
    for path in paths:
        try:
            with path.open("rb", buffering=0) as file:
                while file.read(_CHUNK_BYTES):
                    pass
        except OSError as cause:
            raise PlatformError(f"{path}: cannot be read: {cause.strerror}") from cause
