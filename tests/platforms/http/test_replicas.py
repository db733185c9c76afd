"""Replicas of a function share its calls; one that is missing is left out."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import uvloop

from mopar.bundle.call_plans import CallPlan
from mopar.gateway.arrays import from_array
from mopar.platforms.http import HttpTransport
from mopar.platforms.http.replica import Waiting
from mopar.platforms.http.request import HttpRequest
from tests.bundle.plans import built
from tests.models import sample_inputs
from tests.platforms.http.servers import PATIENCE_S, answering, only_call, right

FEEDS = sample_inputs("mlp")
RIGHT = right({"y": np.arange(8, dtype=np.float32).reshape(1, 8)})


@pytest.fixture(scope="module")
def plan(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> CallPlan:
    return only_call(built(reference("mlp"), tmp_path_factory.mktemp("mlp") / "b", 1))


@contextlib.asynccontextmanager
async def replicas(urls: Sequence[str]) -> AsyncIterator[HttpTransport]:
    transport = HttpTransport({"f0": urls})
    try:
        yield transport
    finally:
        await transport.close()


def opened(transport: HttpTransport) -> HttpRequest:
    return transport.open({name: from_array(name, array) for name, array in FEEDS.items()}, 0)


async def attempts(transport: HttpTransport, plan: CallPlan, calls: int = 1) -> list[int]:
    """Of one request's calls."""
    request = opened(transport)
    for _ in range(calls):
        await request.run(plan, (), time.monotonic() + PATIENCE_S)
    request.close()
    return [timing.attempts for timing in request.timings]


def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_calls_at_once_go_to_different_replicas(plan: CallPlan) -> None:
    async def main() -> None:
        async with answering(lambda _n: RIGHT) as (a, seen_a), answering(lambda _n: RIGHT) as (b, seen_b):
            async with replicas([a, b]) as transport:
                await asyncio.gather(*(attempts(transport, plan) for _ in range(8)))
            assert (len(seen_a.heads), len(seen_b.heads)) == (4, 4)

    uvloop.run(main())


def test_the_calls_of_a_request_go_to_one_replica(plan: CallPlan) -> None:
    async def main() -> None:
        async with answering(lambda _n: RIGHT) as (a, seen_a), answering(lambda _n: RIGHT) as (b, seen_b):
            async with replicas([a, b]) as transport:
                await attempts(transport, plan, calls=5)
            assert sorted([len(seen_a.heads), len(seen_b.heads)]) == [0, 5]

    uvloop.run(main())


def test_a_replica_that_cannot_be_reached_is_left_out(plan: CallPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pause, and for later calls too: of 20 requests none waits, and each is sent once."""
    monkeypatch.setattr(Waiting, "pause", lambda *_: pytest.fail("it waits for the one that is missing"))

    async def main() -> None:
        async with answering(lambda _n: RIGHT) as (a, seen), replicas([unused_url(), a]) as transport:
            for _ in range(20):
                assert await attempts(transport, plan) == [1]
            assert len(seen.heads) == 20

    uvloop.run(main())


def test_a_call_whose_replica_dies_is_run_by_another(plan: CallPlan) -> None:
    async def main() -> None:
        async with answering(lambda _n: b"") as (dying, _), answering(lambda _n: RIGHT) as (a, _):
            async with replicas([dying, a]) as transport:
                found = [await attempts(transport, plan) for _ in range(2)]
            assert sorted(found) == [[1], [2]]

    uvloop.run(main())
