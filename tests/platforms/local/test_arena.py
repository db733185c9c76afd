"""Shared memory: tensors never overlap, and nothing stays allocated."""

import errno
import os

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mopar.gateway.budget import MemoryBudget
from mopar.platforms.local import Arena, Segment
from mopar.segments import live_segments
from mopar.types import DeploymentError, OverloadedError, RequestError
from tests.platforms.local.leftovers import segments_of

SIZES = st.lists(st.integers(0, 100_000) | st.sampled_from([0, 64, 1 << 16, (1 << 16) + 1]), max_size=12)


@given(st.lists(SIZES, max_size=3))
@example([[40_000, 20_000, 40_000, 20_000]])  # the second segment is as full as the first was
def test_tensors_of_a_request_are_aligned_and_apart(requests: list[list[int]]) -> None:
    """Each keeps its contents, whatever is placed after it, in every request of the arena."""
    held = segments_of(os.getpid())
    arena = Arena()
    for sizes in [*requests, *requests, *reversed(requests)]:
        refs = [arena.place(2, (size,), size) for size in sizes]
        for number, ref in enumerate(refs):
            assert ref.offset % 64 == 0
            arena.view(ref)[:] = bytes([number]) * ref.nbytes
        for number, ref in enumerate(refs):
            assert bytes(arena.view(ref)) == bytes([number]) * ref.nbytes
        arena.reset()
    arena.close()
    assert segments_of(os.getpid()) == held


def test_an_arena_settles_at_one_segment_for_requests_of_one_size() -> None:
    """A worker attaches every segment once: a request of the same size needs no new one."""
    arena = Arena()

    def request() -> set[int]:
        used = {arena.place(2, (size,), size).segment for size in (50_000, 200_000, 700_000)}
        arena.reset()
        return used

    assert len(request()) > 1
    assert request() == request()
    assert len(arena.segments) == 1
    arena.close()


def test_a_view_outlives_its_segment() -> None:
    """A response that is still being sent reads the original contents."""
    segment = Segment(10)
    segment.view[:3] = b"abc"
    array = np.frombuffer(segment.view, np.uint8, 3)
    segment.close()
    assert array.tobytes() == b"abc"
    assert segment.number not in live_segments()


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.ENOSPC])
def test_a_machine_without_memory_is_an_error_that_leaks_nothing(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(_descriptor: int, _offset: int, _size: int) -> None:
        raise OSError(code, os.strerror(code))

    held = segments_of(os.getpid())
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    arena = Arena()
    with pytest.raises(DeploymentError, match="no memory left for a segment of 65536 bytes"):
        arena.place(2, (5,), 5)
    monkeypatch.undo()
    assert segments_of(os.getpid()) == held
    assert bytes(arena.view(arena.place(2, (5,), 5))) == bytes(5)
    arena.close()


def test_two_segments_never_share_a_number() -> None:
    """Workers identify segments by it, also where a descriptor's number is reused."""
    numbers = []
    for _ in range(3):
        segment = Segment(1)
        numbers.append(segment.number)
        segment.close()
    assert len(set(numbers)) == 3


def test_an_arena_shrinks_again_after_a_large_request() -> None:
    held, arena = segments_of(os.getpid()), Arena()
    for size in [64 << 20, *[100_000] * 40]:
        arena.reserve(size)
        arena.place(2, (size,), size)
        arena.reset()
    assert sum(segment.size for segment in arena.segments) < 1 << 20
    arena.close()
    assert segments_of(os.getpid()) == held


def test_arenas_stay_within_their_budget_and_give_it_back() -> None:
    budget = MemoryBudget(request_bytes=1 << 20, total_bytes=3 << 19)
    first, second = Arena(budget), Arena(budget)
    with pytest.raises(RequestError, match=r"take 1\.1 MiB on their way, one request may take 1\.0 MiB") as refused:
        first.reserve(1_200_000)
    assert refused.value.status == 413
    with pytest.raises(RequestError, match="take 2\\^50 bytes"):
        first.reserve(1 << 50)
    assert (first.segments, budget.held) == ([], 0)
    first.reserve(1_000_000)
    with pytest.raises(OverloadedError, match=r"would pass the limit of 1\.5 MiB"):
        second.reserve(1_000_000)
    second.reserve(100_000)
    for arena in (first, second):
        arena.close()
    assert budget.held == 0
