"""Responses of functions are checked against the graph, and every error gives one line within the deadline."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from mopar.bundle.call_plans import CallPlan
from mopar.gateway.budget import MemoryBudget
from mopar.gateway.http.decode import decode
from mopar.platforms.http import HttpTransport
from mopar.runtime.encoded import UNUSABLE
from mopar.types import REQUEST, DeploymentError, MoparError, Network, OverloadedError, RequestError, UsageError
from tests.bundle.plans import built
from tests.models import sample_inputs
from tests.platforms.http.servers import (
    PATIENCE_S,
    Answer,
    answering,
    asking,
    described,
    entry,
    failure,
    http,
    only_call,
    right,
)

FEEDS = sample_inputs("mlp")
Y = np.arange(8, dtype=np.float32).reshape(1, 8)
RIGHT = right({"y": Y})


@pytest.fixture(scope="module")
def plan(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> CallPlan:
    return only_call(built(reference("mlp"), tmp_path_factory.mktemp("mlp") / "b", 1))


async def run_call(answer: Answer, plan: CallPlan, deadline_s: float = PATIENCE_S) -> tuple[bytes, int]:
    """The output, and the number of attempts."""
    async with answering(answer) as (url, _), asking(url, FEEDS) as (request, _):
        await request.run(plan, (), time.monotonic() + deadline_s)
        return bytes(request.value("y", "float32", ("y", plan.call.id)).data), request.timings[0].attempts


def test_what_is_sent_is_a_request_of_the_protocol(plan: CallPlan) -> None:
    """Parsed by the gateway's own server; connections are kept alive."""

    async def main() -> None:
        async with answering(lambda _number: RIGHT) as (url, seen), asking(url, FEEDS) as (request, transport):
            for _ in range(2):
                await request.run(plan, (), time.monotonic() + PATIENCE_S)
            assert (request.timings[0].held_ns, request.timings[0].compute_ns) == (2, 1)
            lines = seen.heads[0].decode().split("\r\n")
            assert lines[0] == f"POST /v2/models/{plan.graph.id}/infer HTTP/1.1"
            (length,) = (line.split(": ")[1] for line in lines if line.startswith("Inference-Header"))
            inference = decode(memoryview(seen.bodies[0]), length, plan.graph.inputs, plan.graph.outputs)
            assert bytes(inference.inputs["x"].data) == FEEDS["x"].tobytes()
            assert inference.binary == {"y"}
            assert len(transport._functions["f0"].replicas[0].connections.idle) == 1
            payload = transport.payloads["f0"]
            assert (payload.calls, payload.sent_bytes) == (2, 2 * len(seen.bodies[0]))

    uvloop.run(main())


WRONG = {
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP/1.1"),
    "no size": (http(b"{}", content_length=None, transfer_encoding="chunked"), "without a Content-Length"),
    "too large": (http(b"", content_length=1 << 50), r"answers with 1125899906842624 bytes, where \d+ are most"),
    "a head without end": (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 70_000, "a head that does not end"),
    "no JSON length": (http(b"{}"), "inference-header-content-length is no number"),
    "JSON beyond the body": (http(b"{}", inference_header_content_length=3), "longer than its body"),
    "no JSON": (http(b"{}", inference_header_content_length=1), "JSON is none of an inference"),
    "no UTF-8": (http(b'{"outputs":"\x80"}', inference_header_content_length=15), "JSON is none of an inference"),
    "deep": (http(b"[" * 5000, inference_header_content_length=5000), "JSON is none of an inference"),
    "another name": (described([entry("z", Y)], Y.tobytes()), "gives the outputs z"),
    "no output": (described([], b""), "gives the outputs"),
    "another type": (described([entry("y", Y, datatype="INT32")], Y.tobytes()), "output y is INT32, not FP32"),
    "another shape": (described([entry("y", Y, shape=[8, 1])], Y.tobytes()), "output y has shape 8x1, not 1x8"),
    "negative": (described([entry("y", Y, shape=[-1, -8])], Y.tobytes()), "output y has shape -1x-8"),
    "few bytes": (described([entry("y", Y[:, 1:], shape=[1, 8])], Y[:, 1:].tobytes()), "28 bytes, its shape needs 32"),
    "beyond the body": (described([entry("y", Y)], Y[:, 1:].tobytes()), "reaches past the body's end"),
    "more bytes": (right({"y": Y}, extra=b"x"), "1 bytes belong to no output"),
    "no times": (right({"y": Y}, headers={"mopar-held-ns": None}), "mopar-held-ns is no number"),
    "not found": (http(b'{"error":"there is no\\n graph"}', 404), "it answered 404: there is no graph"),
    "an error that is no UTF-8": (http(b'{"error":"\x80"}', 404), "it answered 404: {"),
    "an error of any form": (http(b"<html>not here", 404), "it answered 404: <html>not here"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_is_never_trusted(plan: CallPlan, case: str) -> None:
    data, says = WRONG[case]
    with pytest.raises(DeploymentError, match=rf"^function f0 at http://127.0.0.1:\d+: .*{says}") as caught:
        uvloop.run(run_call(lambda _number: data, plan))
    assert "\n" not in str(caught.value)


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), kind=st.sampled_from(["replace", "insert", "end"]))
def test_a_damaged_answer_is_right_or_refused(plan: CallPlan, place: int, byte: int, kind: str) -> None:
    """Its head or JSON is damaged, never its data."""
    at = place % (len(RIGHT) - Y.nbytes)
    after = {"replace": RIGHT[at + 1 :], "insert": RIGHT[at:], "end": b""}[kind]
    data = RIGHT[:at] + (b"" if kind == "end" else bytes([byte])) + after

    async def main() -> None:
        # A truncated response is awaited until the deadline: the server sends no more.
        call = run_call(lambda number: data if number == 1 else b"", plan, 0.3)
        (outcome,) = await asyncio.gather(call, return_exceptions=True)
        assert isinstance(outcome, MoparError) or outcome == (Y.tobytes(), 1)
        assert "\n" not in str(outcome)

    uvloop.run(main())


@pytest.mark.parametrize(("status", "says"), [(400, "too odd"), (413, "too odd")])
def test_what_the_function_refuses_is_a_mistake_of_the_request(plan: CallPlan, status: int, says: str) -> None:
    answer = http(b'{"error": "too odd"}', status)
    with pytest.raises(RequestError, match=f"the model refused these inputs: {says}") as caught:
        uvloop.run(run_call(lambda _number: answer, plan))
    assert caught.value.status == status


def test_a_code_that_a_function_cannot_use_is_no_mistake_of_the_request(plan: CallPlan) -> None:
    answer = http(b'{"error": "input x: its code is damaged"}', UNUSABLE)
    with pytest.raises(DeploymentError, match=r"function f0 at http:.*: it answered 415: input x: its code is damaged"):
        uvloop.run(run_call(lambda _number: answer, plan))


@pytest.mark.parametrize("status", [429, 503])
def test_a_function_that_is_busy_is_asked_again(plan: CallPlan, status: int) -> None:
    busy = http(b'{"error": "busy"}', status, connection="close")
    assert uvloop.run(run_call(lambda number: busy if number < 3 else RIGHT, plan)) == (Y.tobytes(), 1)
    with pytest.raises(OverloadedError, match=r"function f0 at http:.* was not there until the deadline: busy"):
        uvloop.run(run_call(lambda _number: busy, plan, 0.2))


def test_a_broken_connection_is_tried_once_more(plan: CallPlan) -> None:
    assert uvloop.run(run_call(lambda number: b"" if number == 1 else RIGHT, plan)) == (Y.tobytes(), 2)
    with pytest.raises(DeploymentError, match="function f0 closed its connection, twice in one request"):
        uvloop.run(run_call(lambda _number: b"", plan))


@pytest.mark.parametrize("answer", [None, RIGHT[:20], RIGHT[:-1]])
def test_an_answer_that_does_not_come_or_end_is_waited_for_until_the_deadline(
    plan: CallPlan, answer: bytes | None
) -> None:
    with pytest.raises(DeploymentError, match="did not answer before the deadline"):
        uvloop.run(run_call(lambda _number: answer, plan, 0.1))


def test_a_function_that_cannot_be_reached_may_come_back(plan: CallPlan) -> None:
    async def main() -> None:
        async with answering(lambda _number: RIGHT) as (url, _):
            pass
        async with asking(url, FEEDS) as (request, _):
            error = await failure(request.run(plan, (), time.monotonic() + 0.1))
            assert isinstance(error, OverloadedError)
            assert "cannot be reached" in str(error)

    uvloop.run(main())


def test_one_call_at_a_time_is_on_its_way(plan: CallPlan) -> None:
    """The second waits for the first, and the server never receives it."""

    async def main() -> None:
        async with answering(lambda _number: None) as (url, seen), asking(url, FEEDS) as (request, _):
            first = asyncio.create_task(request.run(plan, (), time.monotonic() + PATIENCE_S))
            while not seen.heads:  # noqa: ASYNC110 - what it waits for is not ours to signal
                await asyncio.sleep(0)
            error = await failure(request.run(plan, (), time.monotonic() + 0.05))
            assert isinstance(error, OverloadedError)
            assert "function f0 was busy until the deadline" in str(error)
            assert len(seen.heads) == 1
            first.cancel()
            await failure(first)

    uvloop.run(main())


def test_bodies_are_counted_before_memory_is_taken_for_them_and_given_back(plan: CallPlan) -> None:
    async def main() -> None:
        async with answering(lambda _number: RIGHT) as (url, _):
            budget = MemoryBudget(1 << 20, 1 << 20)
            async with asking(url, FEEDS, budget) as (request, _):
                await request.run(plan, (), time.monotonic() + PATIENCE_S)
                assert budget.held >= Y.nbytes
            assert budget.held == 0
            tight = MemoryBudget(1 << 20, 64)
            async with asking(url, FEEDS, tight) as (request, _):
                error = await failure(request.run(plan, (), time.monotonic() + PATIENCE_S))
                assert isinstance(error, OverloadedError)
            assert tight.held == 0

    uvloop.run(main())


def test_a_kept_connection_holds_nothing_of_its_last_call(plan: CallPlan) -> None:
    """A connection is not kept, either, if the response came before the request was sent: the rest would be missing."""

    async def main() -> None:
        async with answering(lambda _number: RIGHT) as (url, _), asking(url, FEEDS) as (request, transport):
            await request.run(plan, (), time.monotonic() + PATIENCE_S)
            (kept,) = transport._functions["f0"].replicas[0].connections.idle
            assert (kept._body, kept._parser, kept._reply) == (None, None, None)

    async def early() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(RIGHT)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        url, slow = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", Network(0.01, 50.0)
        async with server, asking(url, FEEDS, network=slow) as (request, transport):
            await request.run(plan, (), time.monotonic() + PATIENCE_S)
            assert transport._functions["f0"].replicas[0].connections.idle == []
        await asyncio.sleep(0.01)  # for the handler, which ends with its connection

    uvloop.run(main())
    uvloop.run(early())


@pytest.mark.parametrize("url", ["f0:8080", "https://f0", "http://", "http://f0:99999", "http://f0/?x"])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(UsageError, match="is no URL of a function: write http://HOST:PORT"):
        HttpTransport({"f0": [url]})


@pytest.mark.parametrize("network", [Network(8.0, 0.0), Network(None, 100.0), Network(8.0, 50.0)])
def test_an_emulated_network_takes_at_least_its_time(
    reference: Callable[[str], Path], tmp_path: Path, network: Network
) -> None:
    """In both directions; only a lower bound, as the machine may be busy."""
    plan = only_call(built(reference("symbolic"), tmp_path / "b", 1))
    feeds = {"x": np.zeros((50, 40, 16), np.float32)}
    (spec,), (shape,) = plan.graph.outputs, plan.shapes({("x", REQUEST): (50, 40, 16)}).outputs
    assert shape is not None
    answer = right({spec.name: np.zeros(shape, np.float32)})

    async def main() -> tuple[float, int]:
        async with answering(lambda _number: answer) as (url, _), asking(url, feeds, network=network) as (request, got):
            started = time.monotonic()
            await request.run(plan, (), started + PATIENCE_S)
            payload = got.payloads["f0"]
            return time.monotonic() - started, payload.sent_bytes + payload.received_bytes

    took_s, nbytes = uvloop.run(main())
    assert nbytes > 100_000
    least_s = network.rtt_ms / 1e3 + (nbytes * 8e-6 / network.bandwidth_mbit if network.bandwidth_mbit else 0.0)
    assert took_s >= least_s
