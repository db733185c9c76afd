"""The codes that a gateway makes: in time, within claimed memory, and without holding up other requests."""

import asyncio
import os
import random
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import uvloop

from mopar.gateway.budget import MemoryBudget
from mopar.platforms import request_codes
from mopar.platforms.codes import EncodedValue, decoded, encoded
from mopar.platforms.http.request import HttpRequest
from mopar.platforms.outputs import MalformedError
from mopar.platforms.request_codes import PlanCodes, RequestCodes
from mopar.runtime.variants import VARIANTS
from mopar.types import REQUEST, DeploymentError, OverloadedError, TensorSpec, TensorValue
from tests.runtime.http.identity import LOSSLESS

PATIENCE_S = 20.0
CODEC = "blosc2:lz4-shuffle"
MIB = 1 << 20
SPEC, MADE = TensorSpec("x", "float32", None), ("x", REQUEST)
RATIO = 0.75


def zeros(count: int = MIB) -> TensorValue:
    return TensorValue("x", "float32", (count // 4,), bytes(count))


def noise(count: int = MIB) -> TensorValue:
    return TensorValue("x", "float32", (count // 4,), random.Random(0).randbytes(count))


def codes_of(plan: PlanCodes, claimed: list[int]) -> RequestCodes:
    def claim(nbytes: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        claimed.append(nbytes)

    return RequestCodes(plan, claim)


def planned() -> PlanCodes:
    return PlanCodes({"x": CODEC}, frozenset(), frozenset({"x"}), {"x": RATIO})


async def sent(codes: RequestCodes, value: TensorValue, left_s: float = PATIENCE_S) -> TensorValue | EncodedValue:
    return await codes.sent(SPEC, MADE, None, {MADE: value}, time.monotonic() + left_s)


def test_memory_is_claimed_before_it_is_taken_and_what_is_not_needed_is_given_back() -> None:
    """On the event loop alone, where budgets are counted; a tensor that does not compress keeps none."""

    async def main() -> None:
        for value in (zeros(), noise()):
            claimed: list[int] = []
            found = await sent(codes_of(planned(), claimed), value)
            kept = len(found.data) if isinstance(found, EncodedValue) else 0
            assert claimed == [int(RATIO * MIB), kept - int(RATIO * MIB)]
            assert isinstance(found, EncodedValue) == (value.data[0] == 0)

    uvloop.run(main())


def test_what_a_request_gives_back_others_may_take() -> None:
    """And what was foreseen for its tensors stays reserved, until it is closed."""
    budget = MemoryBudget(4 * MIB, 4 * MIB)

    class _Wire:
        def open(self, claim: object) -> object:
            self.claim = claim
            return self

        def close(self) -> None:
            """Nothing is elsewhere."""

    request = HttpRequest({}, budget, _Wire())  # type: ignore[arg-type]  # of which it needs no more
    request.accept({"x": zeros()}, MIB)
    for nbytes, held in ((2 * MIB, 3 * MIB), (-MIB, 2 * MIB), (-MIB, MIB), (-MIB, MIB)):
        request._claim(nbytes)
        assert budget.held == held
    request.close()
    request._claim(-MIB)
    assert budget.held == 0


def test_no_more_than_planned_is_allocated_for_a_code() -> None:
    """Of noise the library writes as much as it may before it gives up."""
    for text in VARIANTS:
        source, target = np.frombuffer(noise().data, np.uint8), np.full(MIB, 0xA5, np.uint8)
        most = int(RATIO * MIB)
        assert LOSSLESS.encode(text, 4, source.ctypes.data, MIB, target.ctypes.data, most) == 0
        assert (target[most:] == 0xA5).all()
        assert encoded(noise(), text, most) is None


class _Blocked:
    """In place of a slow codec: encodings begin, and wait until they may end."""

    def __init__(self) -> None:
        self.begun, self.may_end = 0, threading.Event()

    def __call__(self, value: TensorValue, text: str, most_bytes: int) -> EncodedValue | None:
        self.begun += 1
        assert self.may_end.wait(PATIENCE_S)
        return encoded(value, text, most_bytes)


def test_none_is_begun_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many run at a time as there are cores; the others' requests end at the deadline, and claim nothing more."""
    cores = len(os.sched_getaffinity(0))
    slow = _Blocked()
    monkeypatch.setattr(request_codes, "encoded", slow)

    async def main() -> None:
        plan = planned()
        claimed: list[list[int]] = [[] for _ in range(cores + 3)]
        tasks = [asyncio.create_task(sent(codes_of(plan, own), zeros(), 0.2)) for own in claimed]
        late, running = await asyncio.wait(tasks, timeout=PATIENCE_S, return_when=asyncio.FIRST_EXCEPTION)
        while len(late) < 3:
            more, running = await asyncio.wait(running, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
            late |= more
        assert all(isinstance(task.exception(), OverloadedError) for task in late)
        assert slow.begun == cores
        slow.may_end.set()
        assert all(isinstance(found, EncodedValue) for found in await asyncio.gather(*running))
        assert sorted(map(sum, claimed))[:3] == [0, 0, 0]
        for value in (zeros(), zeros(4096)):  # in a thread, and here
            with pytest.raises(OverloadedError, match="no time left"):
                await sent(codes_of(plan, []), value, -1.0)
        assert slow.begun == cores

    uvloop.run(main())


def test_a_small_tensor_does_not_wait_for_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of the library that is held up in a thread holds up no other."""
    begun, may_end = threading.Event(), threading.Event()
    compress = LOSSLESS._compress

    def held_up(*arguments: int) -> int:
        if arguments[2] == MIB:
            begun.set()
            assert may_end.wait(PATIENCE_S)
        return int(compress(*arguments))

    monkeypatch.setattr(LOSSLESS, "_compress", held_up)
    monkeypatch.setattr("mopar.platforms.codes.lossless", lambda: LOSSLESS)
    found: list[EncodedValue | None] = []
    threads = [threading.Thread(target=lambda: found.append(encoded(zeros(), CODEC, MIB)), daemon=True)]
    threads[0].start()
    assert begun.wait(PATIENCE_S)
    threads.append(threading.Thread(target=lambda: found.append(encoded(zeros(4096), CODEC, 4096)), daemon=True))
    threads[1].start()
    threads[1].join(PATIENCE_S)
    assert [one is not None and one.nbytes for one in found] == [4096]
    may_end.set()
    threads[0].join(PATIENCE_S)


def test_threads_encode_and_decode_at_once() -> None:
    """Each its own tensor with its own codec, type and block sizes."""
    wrong: list[int] = []

    def run(number: int) -> None:
        text, drawn = sorted(VARIANTS)[number % 4], random.Random(number)
        for _ in range(20):
            count = 8 * drawn.randrange(64, 40_000)
            data = drawn.randbytes(count // 2) + bytes(count // 2)
            dtype = drawn.choice(["float32", "int64", "uint8", "float16"])
            value = TensorValue("x", dtype, (count // np.dtype(dtype).itemsize,), data)
            code = encoded(value, text, count)
            if code is None or bytes(decoded(code).data) != data:
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_damaged_code_is_laid_to_the_call_that_made_it() -> None:
    """Where it leaves the functions at once, and else where the call fails that was sent it."""
    made, deadline = ("y", "c0"), time.monotonic() + PATIENCE_S

    async def main() -> None:
        for count in (4096, 4 * MIB):  # checked here, and in a thread
            code = encoded(zeros(count), CODEC, count)
            assert code is not None
            damaged = replace(code, crc32=code.crc32 ^ 1)
            passed = codes_of(PlanCodes({"y": CODEC}, frozenset()), [])
            assert await passed.keep(made, code, deadline) is None
            await passed.check_sent([made, ("z", "c0")], deadline)
            assert await passed.keep(made, damaged, deadline) is None
            with pytest.raises(DeploymentError, match=r"what call c0 made cannot be used: .* its code is damaged"):
                await passed.check_sent([made], deadline)
            await passed.check_sent([made], time.monotonic() - 1.0)  # the call's own error is told
            leaves = codes_of(PlanCodes({"y": CODEC}, frozenset({made})), [])
            with pytest.raises(MalformedError, match="its code is damaged"):
                await leaves.keep(made, damaged, deadline)

    uvloop.run(main())
