"""Sequences survive a round trip, and every wait ends."""

import mmap
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.runtime import frames, sequence
from mopar.runtime.sequence import ABORT, Flags, Step

FLAG = st.integers(0, 2**16 - 1)
STEPS = st.lists(st.builds(Step, st.binary(max_size=50), FLAG, st.lists(FLAG, max_size=4).map(tuple)), max_size=5)
NUMBER = st.integers(0, 2**64 - 1)
OUTCOMES = st.sampled_from([sequence.ENDED, sequence.STOPPED, sequence.REFUSED])
OFFSET, SECOND = 5, 10**9


def fields_of(step: Step) -> tuple[object, ...]:
    return bytes(step.frame), step.flag, step.waits


@given(STEPS, st.integers(0, 2**32 - 1), NUMBER, NUMBER)
def test_a_sequence_arrives(steps: list[Step], segment: int, offset: int, deadline_ns: int) -> None:
    frame = memoryview(sequence.pack_sequence(steps, segment, offset, deadline_ns))
    assert frames.kind_of(frame) == frames.RUN_SEQUENCE
    got, *rest = sequence.unpack_sequence(frame)
    assert [fields_of(step) for step in got] == [fields_of(step) for step in steps]
    assert rest == [segment, offset, deadline_ns]


@given(
    OUTCOMES,
    st.lists(st.tuples(NUMBER, NUMBER, NUMBER), max_size=5),
    st.text(st.characters(codec="utf-8"), max_size=30),
)
def test_how_it_went_arrives(outcome: int, times: list[tuple[int, int, int]], text: str) -> None:
    frame = memoryview(sequence.pack_sequence_done(outcome, times, text))
    assert frames.kind_of(frame) == frames.SEQUENCE_DONE
    assert sequence.unpack_sequence_done(frame) == (outcome, times, text)


def test_a_sequence_too_large_for_a_message_is_refused() -> None:
    with pytest.raises(ValueError, match="a sequence of 2 calls is too large"):
        sequence.pack_sequence([Step(bytes(frames.MAX_FRAME // 2), 1, ())] * 2, 1, 0, 0)


@pytest.fixture
def memory() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, mmap.PAGESIZE) as shared:
        yield shared


def flags_of(memory: mmap.mmap, seconds: float = 60.0) -> Flags:
    return Flags(memory, OFFSET, time.monotonic_ns() + int(seconds * SECOND), lambda: False)


def test_flags_are_bytes_of_their_own(memory: mmap.mmap) -> None:
    flags = flags_of(memory)
    flags.raise_flag(3)
    assert memory[: OFFSET + 8] == bytes([0] * (OFFSET + 3) + [1] + [0] * 4)
    assert [flags.is_raised(flag) for flag in range(5)] == [False, False, False, True, False]
    assert flags.wait((3,))
    assert flags.wait(())


def test_a_wait_ends_when_the_last_flag_is_raised(memory: mmap.mmap) -> None:
    flags, woken = flags_of(memory), threading.Event()

    def wait() -> None:
        assert flags.wait((1, 2))
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    flags.raise_flag(2)
    assert not woken.wait(0.02)
    flags.raise_flag(1)
    thread.join(20)
    assert woken.is_set()


@pytest.mark.parametrize("raised", [(), (1,)])
def test_a_wait_ends_without_success_where_it_is_aborted(memory: mmap.mmap, raised: tuple[int, ...]) -> None:
    """Even where its flags are set: nothing that follows may run."""
    flags = flags_of(memory)
    for flag in (*raised, ABORT):
        flags.raise_flag(flag)
    assert not flags.wait((1,))
    assert not flags.wait(())


def test_a_wait_ends_at_its_deadline(memory: mmap.mmap) -> None:
    assert not flags_of(memory, 0.02).wait((1,))
    assert not flags_of(memory, -1.0).wait(())


def test_a_wait_ends_with_the_gateway(memory: mmap.mmap) -> None:
    orphaned = Flags(memory, OFFSET, time.monotonic_ns() + 60 * SECOND, lambda: True)
    assert not orphaned.wait((1,))
