"""Fault-around of mapped pages: brute force over sets of pages, and a mapping with a known access pattern."""

import mmap
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.limits import read_around_bytes, readaround

PAGE = mmap.PAGESIZE
END = 200


@given(st.sets(st.integers(0, END - 1)), st.integers(0, 80))
def test_pages_within_half_the_read_ahead_are_counted_once(mapped: set[int], ahead: int) -> None:
    reach = ahead // 2
    near = {page for page in range(END) if any(abs(page - other) <= reach for other in mapped)}
    found = readaround.neighbours(np.array(sorted(mapped), dtype=np.int64), reach, END)
    assert found == len(near - mapped)


def test_of_a_file_only_touched_pages_count_as_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead, touched = 16, 128  # the kernel may map a few pages around each one, but not across so round a number
    monkeypatch.setattr(readaround, "_read_ahead_pages", lambda _path: ahead)
    used, other = tmp_path / "used", tmp_path / "other"
    for path in (used, other):
        path.write_bytes(bytes(END * PAGE))
    with (
        used.open("rb") as first,
        mmap.mmap(first.fileno(), 0, prot=mmap.PROT_READ) as pages,
        other.open("rb") as second,
        mmap.mmap(second.fileno(), 0, prot=mmap.PROT_READ),
    ):
        for page in range(touched):
            pages[page * PAGE]
        assert read_around_bytes(os.getpid(), [used, other]) == ahead // 2 * PAGE


def test_of_a_process_that_is_gone_nothing_is_known(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(PAGE))
    assert read_around_bytes(1 << 30, [path]) == 0
