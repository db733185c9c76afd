"""Functions behind proxies: what a proxy answers for one that is gone is not the function's own error."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uvloop

from mopar.bundle.call_plans import CallPlan
from mopar.gateway.arrays import from_array
from mopar.platforms.endpoints import Endpoints
from mopar.platforms.http import HttpTransport, Polled
from mopar.platforms.remote import RemoteDeployment
from mopar.types import DeploymentError, OverloadedError, PlatformError
from tests.bundle.plans import built
from tests.models import sample_inputs
from tests.platforms.http.servers import PATIENCE_S, Answer, answering, failure, http, only_call, right

FEEDS = sample_inputs("mlp")
Y = np.arange(8, dtype=np.float32).reshape(1, 8)
RIGHT = right({"y": Y})
HEALTHY = http(b"{}", 200, mopar_revision="r1")
GONE = {
    "OpenFaaS": http(b"Can't reach service for: f0.", 500),
    "OpenFaaS, before the server listens": http(b"", 500),
    "Envoy": http(b"upstream connect error or disconnect/reset before headers", 503),
    "a page": http(b"<html>bad gateway", 502),
    "too late": http(b"stream timeout", 504),
    "JSON of its own": http(b'{"message": "no healthy upstream"}', 503),
}


@pytest.fixture(scope="module")
def plan(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> CallPlan:
    return only_call(built(reference("mlp"), tmp_path_factory.mktemp("mlp") / "b", 1))


def run_call(plan: CallPlan, answer: Answer, health: Answer, deadline_s: float = PATIENCE_S) -> tuple[int, list[str]]:
    """The number of attempts, and what was asked, by its first line."""
    counts = {"GET": 0, "POST": 0}

    async def main() -> tuple[int, list[str]]:
        def told(_number: int) -> bytes | None:
            kind = seen.heads[-1].split(b" ")[0].decode()
            counts[kind] += 1
            return (health if kind == "GET" else answer)(counts[kind])

        async with answering(told) as (url, seen):
            watch = Polled("f0", [f"{url}/function/f0"])
            transport = HttpTransport({"f0": [f"{url}/function/f0"]}, watches={"f0": watch})
            request = transport.open({name: from_array(name, array) for name, array in FEEDS.items()}, 0)
            try:
                await request.run(plan, (), time.monotonic() + deadline_s)
                return request.timings[0].attempts, [head.split(b"\r\n")[0].decode() for head in seen.heads]
            finally:
                request.close()
                await transport.close()
                await watch.close()

    return uvloop.run(main())


@pytest.mark.parametrize("case", GONE)
def test_a_call_is_sent_again_once_the_function_is_back(plan: CallPlan, case: str) -> None:
    def back(number: int) -> bytes:
        return GONE[case] if number < 3 else HEALTHY

    attempts, asked = run_call(plan, lambda number: GONE[case] if number == 1 else RIGHT, back)
    call, health = (
        f"POST /function/f0/v2/models/{plan.graph.id}/infer HTTP/1.1",
        "GET /function/f0/v2/health/ready HTTP/1.1",
    )
    assert (attempts, asked) == (2, [call, health, health, health, call])


@pytest.mark.parametrize("case", GONE)
def test_a_call_that_may_have_begun_twice_is_not_sent_a_third_time(plan: CallPlan, case: str) -> None:
    says = r"function f0 at http://\S+ was not there \(a proxy answered 50\d: .*memory\), twice in one request"
    with pytest.raises(DeploymentError, match=says) as caught:
        run_call(plan, lambda _number: GONE[case], lambda _number: HEALTHY)
    assert "\n" not in str(caught.value)


def test_a_function_that_does_not_come_back_is_waited_for_until_the_deadline(plan: CallPlan) -> None:
    gone = GONE["OpenFaaS"]
    with pytest.raises(OverloadedError, match=r"function f0 at http://\S+ was not there until the deadline"):
        run_call(plan, lambda _number: gone, lambda _number: gone, 0.2)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_an_error_of_the_functions_own_is_not_tried_again(plan: CallPlan, status: int) -> None:
    own = http(b'{"error": "there is no memory for the inputs"}', status)
    with pytest.raises(DeploymentError, match=f"it answered {status}: there is no memory for the inputs"):
        run_call(plan, lambda _number: own, lambda _number: HEALTHY)


def test_a_gateway_starts_with_functions_of_the_right_revision_alone() -> None:
    async def main() -> None:
        async with answering(lambda _number: HEALTHY) as (url, _):
            endpoints: dict[str, tuple[str, ...]] = {"f0": (url,)}
            async with RemoteDeployment(Endpoints(endpoints, revisions={"f0": "r1"})) as deployment:
                assert deployment.transport().ready()
            with pytest.raises(PlatformError, match=r"function f0 was not ready within 0.1 s: .* revision r1, not r2"):
                await RemoteDeployment(Endpoints(endpoints, ready_s=0.1, revisions={"f0": "r2"})).__aenter__()
        with pytest.raises(PlatformError, match=rf"function f0 was not ready within 0.1 s: {url} does not answer"):
            await RemoteDeployment(Endpoints(endpoints, ready_s=0.1)).__aenter__()

    uvloop.run(main())


def test_a_deployment_says_that_it_is_not_ready_while_a_function_is_away() -> None:
    """It asks by itself: where nobody is sent to a gateway that is not ready, no call would find out."""
    there = asyncio.Event()

    async def main() -> None:
        async with answering(lambda _number: HEALTHY if there.is_set() else GONE["OpenFaaS"]) as (url, _):
            watch = Polled("f0", [url])
            await watch.broke()
            assert not watch.ready()
            there.set()
            await watch.until_ready(time.monotonic() + PATIENCE_S)
            assert watch.ready()
            await watch.broke()
            await watch.close()

    uvloop.run(main())


def test_a_wait_that_ends_for_one_request_goes_on_for_others() -> None:
    async def main() -> None:
        async with answering(lambda _number: GONE["OpenFaaS"]) as (url, _):
            watch = Polled("f0", [url])
            await watch.broke()
            assert isinstance(await failure(watch.until_ready(time.monotonic() + 0.05)), OverloadedError)
            assert not watch.ready()
            await watch.close()

    uvloop.run(main())
