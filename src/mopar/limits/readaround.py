"""Read-around: on a fault of a mapped file the kernel also reads half of the read-ahead on either side of the page."""

import mmap
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mopar.limits.readahead import read_ahead_kib

Pages = npt.NDArray[np.int64]

_PAGE = mmap.PAGESIZE
_ENTRY_BYTES = 8
_PRESENT = 63  # the bit of a page's entry (Linux, Documentation/admin-guide/mm/pagemap.rst)


def read_around_bytes(pid: int, files: Iterable[Path]) -> int:
    """Bytes of ``files`` that the kernel reads around the pages that a process maps, and that it does not map itself.

    Only pages that it has touched count as mapped. 0 where the kernel does not report them, or the process has ended.
    """
    try:
        return sum(_PAGE * _around(pid, path) for path in map(Path.resolve, files))
    except OSError:
        return 0


def neighbours(pages: Pages, reach: int, end: int) -> int:
    """Number of pages from 0 to ``end`` (exclusive) that are not in ``pages`` but at most ``reach`` away from one.

    Args:
        pages: page numbers in ascending order, each once.
        reach: distance in pages to either side.
        end: number of pages of the file.
    """
    starts, stops = np.maximum(pages - reach, 0), np.minimum(pages + reach + 1, end)
    following = np.append(starts, end)[1:]
    return int(np.sum(np.minimum(stops, following) - starts)) - len(pages)


def _around(pid: int, path: Path) -> int:
    reach = _read_ahead_pages(path) // 2
    return neighbours(_mapped_pages(pid, path), reach, -(-path.stat().st_size // _PAGE))


def _read_ahead_pages(path: Path) -> int:
    return ((read_ahead_kib(path) or 0) << 10) // _PAGE


def _mapped_pages(pid: int, path: Path) -> Pages:
    """Numbers of the file's pages that the process maps, in order."""
    found = [np.empty(0, dtype=np.int64)]
    with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as pagemap:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            fields = line.split(maxsplit=5)
            if fields[-1] != str(path):
                continue
            start, stop = (int(text, 16) // _PAGE for text in fields[0].split("-"))
            pagemap.seek(start * _ENTRY_BYTES)
            entries = np.frombuffer(pagemap.read((stop - start) * _ENTRY_BYTES), dtype=np.uint64)
            found.append(np.flatnonzero(entries >> np.uint64(_PRESENT)) + int(fields[2], 16) // _PAGE)
    return np.unique(np.concatenate(found))
