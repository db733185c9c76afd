"""A request's memory is released with the request, without the garbage collector."""

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from mopar.gateway.arrays import Array
from mopar.gateway.http.access import Access
from mopar.gateway.http.aside import Aside, large_bodies
from mopar.gateway.http.messages import HttpLimits
from mopar.gateway.http.parser import RequestParser
from mopar.types import RequestError
from tests.gateway.http.harness import post


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Disable the garbage collector: objects are freed only by their last reference."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class _Budget:
    def take(self, count: int) -> bool:
        return count >= 0

    def give(self, count: int) -> None:
        assert count >= 0


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("size", [1000, 5 << 20])
def test_an_idle_connection_holds_nothing_of_its_last_request(size: int) -> None:
    parser = RequestParser(HttpLimits(), _Budget(), Access())
    parser.feed(post(bytes(size)))
    request = parser.requests.popleft()
    assert len(request.body) == size
    block = request.body.obj
    parser.release(request)
    del request
    assert sys.getrefcount(block) == 2, "the variable's and the argument's"
    parser.feed(post(bytes(size)) + b"POST / HTTP/1.1")
    whole = weakref.ref(parser)
    parser.close()
    del parser
    assert whole() is None, "a connection that ends leaves no cycle"


def _refused(text: Array) -> None:
    raise RequestError(f"{len(text)} bytes of no use")


@pytest.mark.usefixtures("uncollected")
def test_a_refused_body_is_not_kept_by_the_refusal() -> None:
    async def main() -> weakref.ref[Array]:
        text = np.zeros(1000, np.uint8)
        with large_bodies() as aside, contextlib.suppress(RequestError):
            await aside.run(_refused, text)
        return weakref.ref(text)

    assert asyncio.run(main())() is None


def test_a_cancelled_decoding_is_waited_for() -> None:
    """Its arguments are views of memory that is reused next."""

    async def main() -> None:
        loop, begun, go_on, left = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event(), list[str]()

        def work() -> None:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
            left.append("work")

        async def run(aside: Aside) -> None:
            try:
                await aside.run(work)
            finally:
                left.append("caller")

        with large_bodies() as aside:
            task = asyncio.create_task(run(aside))
            await begun.wait()
            task.cancel()
            await asyncio.sleep(0)  # one iteration of the loop, in which the cancellation arrives
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert left == ["work", "caller"]

    asyncio.run(main())
