"""A process in place of a worker: known anonymous memory, and known library pages that every request touches.

Arguments: library to load, MiB of its pages that every request touches, MiB of anonymous memory.
One line in, one line out.
"""

import ctypes
import mmap
import sys
from pathlib import Path

MADV_RANDOM = 1
PAGE = mmap.PAGESIZE


def mapped_range(library: str) -> tuple[int, int]:
    """First address and bytes of the file's largest mapping."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        if fields[-1] == library:
            start, stop = (int(text, 16) for text in fields[0].split("-"))
            found.append((stop - start, start))
    size, start = max(found)
    return start, size


def main() -> None:
    library, touched, anonymous = sys.argv[1], int(sys.argv[2]) << 20, int(sys.argv[3]) << 20
    ctypes.CDLL(library)
    start, size = mapped_range(library)
    # One page per fault, whatever the disk's read-ahead: the required memory is then known exactly.
    ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), MADV_RANDOM)
    assert touched <= size, "the library is smaller than what is to be touched"
    held = mmap.mmap(-1, max(anonymous, PAGE))
    for offset in range(0, anonymous, PAGE):
        held[offset] = 1
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        for offset in range(0, touched, PAGE):
            ctypes.string_at(start + offset, 1)
        sys.stdout.write("done\n")
        sys.stdout.flush()


main()
