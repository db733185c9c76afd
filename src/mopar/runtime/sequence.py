"""Several runs that a worker gets at once, and the flags by which the parts of a slice wait for each other.

The parts of a slice exchange tensors several times in a request. Each part gets all its runs in one frame. Each run has
a flag, a byte in the request's shared memory, that is set when the run's outputs are there; a run waits for the flags
of the runs that it reads from. The gateway takes no part (docs/decisions/waiting-by-flags.md).

The order of memory accesses must be x86's: a flag that is set after the engine has returned is seen no earlier than
what the engine wrote. Processors that reorder stores would need a barrier in between;
``mopar.platforms.local.transport`` makes no sequences there.
"""

import os
import struct
from time import monotonic_ns, perf_counter_ns, sleep

from mopar.runtime import frames

TYPE_CHECKING = False  # typing costs memory
if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

ABORT = 0
"""The flag that ends all sequences of a group: their outputs are not needed any more, or cannot be computed."""

ENDED, STOPPED, REFUSED, MISFIT = range(4)
"""Outcome of a sequence: all runs ended; it stopped before, at ABORT or the deadline; the engine refused a run, or an
output of one is not as foreseen."""

MAX_FLAGS = 1 << 16

_SPIN_NS = 150_000
"""How long a flag is polled before sleeping (docs/decisions/waiting-by-flags.md)."""
_SLEEP_SHARE = 8
"""A sleep lasts 1/``_SLEEP_SHARE`` of the time waited so far, so it lengthens the wait by at most that."""
_SHORTEST_SLEEP_NS, _LONGEST_SLEEP_NS = 50_000, 1_000_000

_HEAD = struct.Struct("<BBHI")
_SEQUENCE = struct.Struct("<QQI")
_STEP = struct.Struct("<IHH")
_TIMES = struct.Struct("<QQQ")


class Step:
    """One run of a sequence: its RUN frame, the flag that it sets and those that it waits for."""

    __slots__ = ("flag", "frame", "waits")

    def __init__(self, frame: bytes | memoryview, flag: int, waits: tuple[int, ...]) -> None:
        self.frame = frame
        self.flag = flag
        self.waits = waits


def pack_sequence(steps: list[Step], segment: int, offset: int, deadline_ns: int) -> bytes:
    """RUN_SEQUENCE: runs in order; the place of their flags; when waiting ends, on the clock of ``monotonic_ns``.

    Every output must have a place, of known or foreseen size.

    Raises:
        ValueError: the runs are too many for a frame.
    """
    parts = [_HEAD.pack(frames.RUN_SEQUENCE, 0, 0, len(steps)), _SEQUENCE.pack(deadline_ns, offset, segment)]
    for step in steps:
        parts.append(_STEP.pack(len(step.frame), step.flag, len(step.waits)))
        parts.append(struct.pack(f"<{len(step.waits)}H", *step.waits))
        parts.append(bytes(step.frame))
    frame = b"".join(parts)
    if len(frame) > frames.MAX_FRAME:
        raise ValueError(f"a sequence of {len(steps)} calls is too large for a frame")
    return frame


def unpack_sequence(frame: memoryview) -> tuple[list[Step], int, int, int]:
    """Runs, segment, offset and deadline of RUN_SEQUENCE."""
    _, _, _, count = _HEAD.unpack_from(frame)
    deadline_ns, offset, segment = _SEQUENCE.unpack_from(frame, _HEAD.size)
    position = _HEAD.size + _SEQUENCE.size
    steps = []
    for _ in range(count):
        length, flag, n_waits = _STEP.unpack_from(frame, position)
        position += _STEP.size
        waits = struct.unpack_from(f"<{n_waits}H", frame, position)
        position += 2 * n_waits
        steps.append(Step(frame[position : position + length], flag, waits))
        position += length
    return steps, segment, offset, deadline_ns


def pack_sequence_done(outcome: int, times: list[tuple[int, int, int]], text: str = "") -> bytes:
    """SEQUENCE_DONE: the outcome, times of each run that ended in ns, and why the engine refused one.

    A run's times are: since the run before it, or the frame's arrival, to its end; of that in the engine; and waiting.
    """
    taken = b"".join(_TIMES.pack(*run) for run in times)
    return _HEAD.pack(frames.SEQUENCE_DONE, outcome, 0, len(times)) + taken + text[:4096].encode("utf-8", "replace")


def unpack_sequence_done(frame: memoryview) -> tuple[int, list[tuple[int, int, int]], str]:
    """Outcome, times and text of SEQUENCE_DONE."""
    _, outcome, _, count = _HEAD.unpack_from(frame)
    times = [_TIMES.unpack_from(frame, _HEAD.size + _TIMES.size * i) for i in range(count)]
    return outcome, times, str(frame[_HEAD.size + _TIMES.size * count :], "utf-8")


class Flags:
    """The flags of a group of sequences, as a worker sees them.

    Args:
        memory: shared by the group.
        offset: of its flags there, a byte each.
        deadline_ns: when waiting ends, on the clock of ``monotonic_ns``.
        is_alone: whether the gateway has ended.
    """

    def __init__(self, memory: "mmap.mmap", offset: int, deadline_ns: int, is_alone: "Callable[[], bool]") -> None:
        self._memory = memory
        self._offset = offset
        self._deadline_ns = deadline_ns
        self._is_alone = is_alone

    def raise_flag(self, flag: int) -> None:
        """Set a flag."""
        self._memory[self._offset + flag] = 1

    def is_raised(self, flag: int) -> bool:
        """Whether a flag is set."""
        return self._memory[self._offset + flag] != 0

    def wait(self, flags: tuple[int, ...]) -> bool:
        """Wait until all are set; False where ABORT, the deadline or the gateway's end came first."""
        if self._is_over():
            return False
        started_ns = perf_counter_ns()
        return all(self._wait_for(self._offset + flag, started_ns) for flag in flags)

    def _wait_for(self, place: int, started_ns: int) -> bool:
        memory, abort = self._memory, self._offset + ABORT
        while not memory[place]:
            if memory[abort]:
                return False
            waited_ns = perf_counter_ns() - started_ns
            if waited_ns < _SPIN_NS:
                os.sched_yield()  # with more functions than cores, the awaited run may need this core
                continue
            if self._is_over():
                return False
            sleep(min(max(waited_ns // _SLEEP_SHARE, _SHORTEST_SLEEP_NS), _LONGEST_SLEEP_NS) / 1e9)
        return True

    def _is_over(self) -> bool:
        late = monotonic_ns() > self._deadline_ns
        return late or self._memory[self._offset + ABORT] != 0 or self._is_alone()
