"""Which pages of mapped files a function keeps, and how many the kernel reads when one of them is missing.

Calls need 1.5 MiB of the 45 MiB of Python, the engine and what they are linked with, in single pages all over them. Of
its own accord the kernel maps 64 KiB around each page that is used, and reads as much as the disk reads ahead, which
may be 8 MiB: more than a small function has room for (docs/decisions/worker-memory.md).
"""

import ctypes
import os

TYPE_CHECKING = False  # typing and collections cost memory
if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = ".tables"
"""The end of the name of a file with tables, of which calls look up rows."""
_advise = ctypes.CDLL(None).madvise
_advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_RANDOM, _WILL_NEED, _DONT_NEED, _DONT_DUMP, _DO_DUMP, _COLD = 1, 3, 4, 16, 17, 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ENTRY_BYTES = 8
_PRESENT, _OF_FILE = 63, 61  # bits of a page's entry (Linux, Documentation/admin-guide/mm/pagemap.rst)
_AT_ONCE = (128 << 10) // _PAGE
"""Pages that are read around one at most: what Linux reads ahead unless a disk is set otherwise."""


class MappedFiles:
    """The program and its libraries as they are loaded when this is made, and the weights that are mapped later."""

    __slots__ = ("_calls", "_graphs", "_segments")

    def __init__(self) -> None:
        self._calls = self._graphs = 0
        self._segments = []
        for start, length, is_code in _unwritten_segments():
            self._segments.append((start, length))
            _divide(start, length, [])
            if not is_code:
                _advise(start, length, _WILL_NEED)  # single pages would take longer, and loading reads many
        _read_single_pages(of_libraries=True)

    def loaded(self) -> None:
        """After a graph was loaded: drop the libraries' pages, most of which only loading used.

        Those that calls need are mapped again from the page cache.
        """
        self._graphs += 1
        self._calls = 0
        for start, length, _ in _file_mappings(TABLES):
            _advise(start, length, _RANDOM)  # as much as a disk reads ahead is read for each row else
        self._drop()

    def called(self) -> None:
        """After a call was answered: once every graph has had time to run, keep only the pages that calls use."""
        self._calls += 1
        if self._calls == self._graphs:
            self._isolate(tables=True)
            self._drop()
        elif self._calls == 2 * self._graphs:
            _read_single_pages(of_libraries=False)  # of weights too, now that read-ahead has brought them in
            self._isolate(tables=False)  # what is mapped now is what calls use

    def _drop(self) -> None:
        """Unmap all pages, and let the kernel reclaim first those that no other process maps."""
        for start, length in self._segments:
            _advise(start, length, _COLD)
            _advise(start, length, _DONT_NEED)

    def _isolate(self, *, tables: bool) -> None:
        """Make a mapping of each page that is mapped now; ``tables`` where tables of weights are found first."""
        if not self._segments:  # what the system tells of pages is not to be trusted
            return
        try:
            pagemap = os.open("/proc/self/pagemap", os.O_RDONLY)
        except OSError:  # some sandboxes have none
            return
        if tables:
            for start, length in _tables(pagemap):
                self._segments.append((start, length))
                _advise(start, length, _RANDOM)
        for start, length in self._segments:
            entries = _entries(pagemap, start, length)
            _divide(start, length, [number for number, entry in enumerate(entries) if entry >> _PRESENT])
        os.close(pagemap)


def drop_library_pages() -> None:
    """Unmap the libraries' pages of this process; those that it needs are mapped again from the page cache."""
    for start, length, _ in _unwritten_segments():
        _advise(start, length, _DONT_NEED)


def _divide(start: int, length: int, alone: list[int]) -> None:
    """Divide a segment into mappings of ``_AT_ONCE`` pages, by an advice that has no other effect on it.

    The kernel maps nothing around a page beyond its mapping. Of code, Linux 6.16 and later read nothing beyond it
    either; there, MADV_RANDOM does not keep code from being read ahead.

    Args:
        start: address.
        length: bytes.
        alone: numbers of pages that get a mapping each.
    """
    pages = length // _PAGE
    edges = set(range(_AT_ONCE - start // _PAGE % _AT_ONCE, pages, _AT_ONCE))
    edges.update(alone)
    edges.update([number + 1 for number in alone])
    ends = [*sorted(edges), pages]
    _advise(start, length, _DO_DUMP)
    for low, high in zip(ends[::2], ends[1::2]):  # noqa: B905 - of an odd number, the last is left over
        _advise(start + low * _PAGE, (high - low) * _PAGE, _DONT_DUMP)


def _read_single_pages(*, of_libraries: bool) -> None:
    """Have the kernel read nothing around a missing page of libraries, or else of the other files that are mapped."""
    for start, length, is_library in _file_mappings():
        if is_library == of_libraries:
            _advise(start, length, _RANDOM)


def _tables(pagemap: int) -> "Iterator[tuple[int, int]]":
    """Mappings of weights of which calls use less than half, as of a table's rows, and in which nothing was written."""
    for start, length, is_library in list(_file_mappings()):
        if not is_library:
            used = [entry for entry in _entries(pagemap, start, length) if entry >> _PRESENT]
            if 0 < 2 * len(used) < length // _PAGE and all(entry >> _OF_FILE & 1 for entry in used):
                yield start, length


def _entries(pagemap: int, start: int, length: int) -> "memoryview[int]":
    """What the kernel tells of each page."""
    return memoryview(os.pread(pagemap, length // _PAGE * _ENTRY_BYTES, start // _PAGE * _ENTRY_BYTES)).cast("Q")


def _file_mappings(ending: str = "") -> "Iterator[tuple[int, int, bool]]":
    """Start and length of each private mapping of a file, and whether it is the program's or a library's.

    Args:
        ending: of the file's name, where others are of no interest.
    """
    end = os.fsencode(ending) + b"\n"
    program = _program()
    with open("/proc/self/maps", "rb") as lines:  # noqa: PTH123 - pathlib costs every function 1 MiB
        for line in lines:
            span, permissions, rest = line.split(maxsplit=2)
            if b"/" in rest and permissions.endswith(b"p") and rest.endswith(end):
                low, _, high = span.partition(b"-")
                yield int(low, 16), int(high, 16) - int(low, 16), _is_library(rest, program)


def _unwritten_segments() -> list[tuple[int, int, bool]]:
    """Start and length of what cannot be written and was not, of the program and its libraries, and whether it is code.

    None where no library has a written page. Relocation writes some of each, so the file is then not to be trusted:
    some sandboxes and emulators do not report written pages, and dropping relocated ones would crash the process.
    """
    program = _program()
    found = []
    start = length = 0
    library = is_code = any_written = False
    with open("/proc/self/smaps", "rb") as lines:  # noqa: PTH123 - the same
        for line in lines:
            key, _, rest = line.partition(b" ")
            if not key.endswith(b":"):
                library = _is_library(rest, program)
                is_code = rest.startswith(b"r-xp")
                low, _, high = key.partition(b"-")
                droppable = library and (is_code or rest.startswith(b"r--p"))
                start, length = (int(low, 16), int(high, 16) - int(low, 16)) if droppable else (0, 0)
            elif key == b"Anonymous:" and library:
                if rest.split()[0] != b"0":
                    any_written = True
                elif length:
                    found.append((start, length, is_code))
    return found if any_written else []


def _program() -> bytes:
    """The end of the lines of the program's own mappings."""
    return os.fsencode(os.readlink("/proc/self/exe")) + b"\n"  # noqa: PTH115 - the same


def _is_library(line: bytes, program: bytes) -> bool:
    return b".so" in line or line.endswith(program)
