import mmap
import os
from pathlib import Path

import pytest

from mopar.limits import evict_files, major_faults, read_files, resident_memory
from mopar.types import PlatformError


def test_a_missing_file_and_a_dead_process_are_named(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="absent: cannot be evicted"):
        evict_files([tmp_path / "absent"])
    with pytest.raises(PlatformError, match="absent: cannot be read"):
        read_files([tmp_path / "absent"])
    with pytest.raises(PlatformError, match="process 4194305"):  # above the kernel's highest process id
        resident_memory(4194305)


def test_evicted_pages_are_read_anew(tmp_path: Path) -> None:
    # Only the kernel's count of the reader's own faults shows whether a page came from a disk; a file system in memory
    # has no such faults.
    file = tmp_path / "data"
    file.write_bytes(bytes(1 << 20))
    evict_files([file])
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_READ) as pages:
        before = major_faults(os.getpid())
        assert pages[0] == 0
        assert pages[-1] == 0
        first = major_faults(os.getpid()) - before
    if first == 0:
        pytest.skip("the temporary folder lies on a file system without a page cache of its own")
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_READ) as pages:
        before = major_faults(os.getpid())
        assert pages[0] == 0
        assert major_faults(os.getpid()) == before, "warm pages need no disk"
    evict_files([file])
    read_files([file])
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, prot=mmap.PROT_READ) as pages:
        assert pages[-1] == 0
        assert major_faults(os.getpid()) == before, "nor do pages that were read"
