"""An emulated network is as fast as stated: measurements stand on it."""

import asyncio
import time

import pytest
import uvloop

from mopar.platforms.http.network import Direction
from mopar.types import Network

TRIES = 100


@pytest.mark.parametrize(("mbit", "sizes"), [(1000.0, (300, 4, 1 << 20)), (1000.0, (20_000,)), (100.0, (1 << 17,))])
def test_a_transfer_takes_its_time_and_no_more(mbit: float, sizes: tuple[int, ...]) -> None:
    """Never less, and in one of many tries hardly more; timers of the event loop count whole milliseconds."""
    parts, due_s, written = [bytes(size) for size in sizes], sum(sizes) * 8e-6 / mbit, bytearray()

    def write(chunk: bytes | memoryview) -> bool:
        written.extend(chunk)
        return True

    async def main() -> None:
        for _ in range(TRIES):
            direction = Direction(Network(mbit))
            written.clear()
            started = time.monotonic()
            await direction.send(parts, write)
            sent_s = time.monotonic() - started
            await direction.pass_by(sum(sizes))
            back_s = time.monotonic() - started - sent_s
            assert written == b"".join(parts)
            assert min(sent_s, back_s) >= due_s
            if max(sent_s, back_s) <= 1.1 * due_s + 2e-4:
                return
        raise AssertionError(f"each of {TRIES} transfers took much longer than {due_s * 1e3:.3g} ms")

    uvloop.run(main())


def test_transfers_at_the_same_time_share_the_bandwidth() -> None:
    sizes = (1 << 18, 1 << 18)

    async def main() -> list[float]:
        direction, ends = Direction(Network(200.0)), []
        started = time.monotonic()

        async def one(size: int) -> None:
            await direction.send([bytes(size)], lambda _chunk: True)
            ends.append(time.monotonic() - started)

        await asyncio.gather(*map(one, sizes))
        return ends

    first, second = uvloop.run(main())
    due_s = sum(sizes) * 8e-6 / 200
    assert second >= due_s
    assert first >= 0.7 * due_s  # one after the other it would be half
