"""Keep-alive, pipelining, timeouts, bounds and shutdown of connections."""

import asyncio
import json
import select
import socket
import struct
from itertools import pairwise

import pytest
import uvloop

from mopar.gateway.http import HttpLimits, serve
from mopar.gateway.prometheus import Registry
from mopar.types import PlatformError
from tests.gateway.http.harness import (
    PATIENCE_S,
    Wire,
    any_shape_backend,
    get,
    infer_body,
    one_input,
    post,
    running,
)

BODY = json.dumps(infer_body()).encode()


def _numbered(number: int) -> bytes:
    return post(json.dumps({"id": str(number), **infer_body()}).encode())


def test_pipelined_requests_are_answered_in_order() -> None:
    with running(any_shape_backend()) as server, Wire(server.port) as wire:
        wire.send(b"".join(_numbered(number) for number in range(50)))
        assert [wire.reply().json()["id"] for _ in range(50)] == [str(number) for number in range(50)]


def test_a_bad_request_behind_good_ones_does_not_cost_them_their_answers() -> None:
    with running(any_shape_backend()) as server, Wire(server.port) as wire:
        wire.send(_numbered(1) + _numbered(2) + b"rubbish\r\n\r\n" + _numbered(3))
        assert [wire.reply().status for _ in range(3)] == [200, 200, 400]
        assert wire.ended()


def test_a_request_may_arrive_in_any_pieces() -> None:
    request = _numbered(1)
    cuts = [0, 1, 20, request.index(b"\r\n\r\n") + 2, request.index(b"\r\n\r\n") + 4, len(request) - 1, len(request)]
    with running(any_shape_backend()) as server, Wire(server.port) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, stop in pairwise(cuts):
            wire.send(request[start:stop])
        assert wire.reply().status == 200


def test_a_chunked_body_may_outgrow_its_first_buffer() -> None:
    head = b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY, b" " * 70000, b" " * 300000))
    with running(any_shape_backend()) as server, Wire(server.port) as wire:
        wire.send(head + chunks + b"0\r\n\r\n")
        assert wire.reply().json()["outputs"][0]["data"] == [1, 2, 3, 4]


def test_chunked_bodies_with_trailers() -> None:
    head = b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x;a=b\r\n%c\r\n" % (1, byte) for byte in BODY) + b"0\r\nContent-Encoding: gzip\r\n\r\n"
    with running(any_shape_backend()) as server, Wire(server.port) as wire:
        wire.send(head + chunks + get("/v2/health/live"))
        assert wire.reply().json()["outputs"][0]["data"] == [1, 2, 3, 4]
        assert wire.reply().json() == {"live": True}


def test_large_tensors_pass_unchanged() -> None:
    """More than any socket's buffer in both directions: the output's memory must stay until all of it is sent."""
    values = bytes(range(256)) * 40000
    tensor = {"name": "x", "datatype": "UINT8", "shape": [len(values)], "parameters": {"binary_data_size": len(values)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    with running(one_input("uint8")) as server, Wire(server.port) as wire:
        for _ in range(2):
            wire.send(post(head + values, f"Inference-Header-Content-Length: {len(head)}"))
            reply = wire.reply()
            assert reply.body[int(reply.headers["inference-header-content-length"]) :] == values


def test_continue_is_sent_only_where_the_body_is_wanted() -> None:
    with running(any_shape_backend(), HttpLimits(max_body_bytes=1000, linger_s=PATIENCE_S)) as server:
        head = "POST /v2/models/echo/infer HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n"
        with Wire(server.port) as wire:
            wire.send(head.format(len(BODY)).encode())
            assert wire.reply().status == 100
            wire.send(BODY)
            assert wire.reply().status == 200
        with Wire(server.port) as wire:
            wire.send(head.format(2000).encode())
            assert wire.reply().status == 413


def test_an_offer_to_upgrade_is_declined_by_answering() -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    with running(any_shape_backend()) as server, Wire(server.port) as wire:
        wire.send(b"GET /v2/health/live HTTP/1.1\r\nHost: t\r\n" + upgrade + b"\r\n" + get("/v2/health/live"))
        assert [wire.reply().json() for _ in range(2)] == [{"live": True}] * 2


@pytest.mark.parametrize(
    "head", [b"GET /v2 HTTP/1.0\r\n\r\n", b"GET /v2 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"]
)
def test_the_connection_closes_where_the_client_wants_it(head: bytes) -> None:
    with running(any_shape_backend()) as server, Wire(server.port) as wire:
        wire.send(head)
        assert wire.reply().headers["connection"] == "close"
        assert wire.ended()


def test_a_client_that_only_stops_sending_gets_its_answer() -> None:
    with running(any_shape_backend()) as server, Wire(server.port) as wire:
        wire.send(_numbered(1) + _numbered(2))
        wire.socket.shutdown(socket.SHUT_WR)
        assert [wire.reply().status for _ in range(2)] == [200, 200]
        assert wire.ended()


# Each case shortens only its own limit, so that a delay of the test cannot exceed another one. Limits that start with
# the connection leave time to send.
@pytest.mark.parametrize(
    ("limits", "sent", "status"),
    [
        (HttpLimits(header_timeout_s=0.1), b"", None),
        (HttpLimits(header_timeout_s=1.5), b"GET /v2 HT", 408),
        (HttpLimits(transfer_timeout_s=0.1), post(b"{" * 9)[:-8], 408),
        (HttpLimits(idle_timeout_s=0.1), get("/v2"), 200),
    ],
    ids=["nothing", "half a head", "half a body", "then nothing"],
)
def test_a_client_that_falls_silent_is_let_go(limits: HttpLimits, sent: bytes, status: int | None) -> None:
    with running(any_shape_backend(), limits) as server, Wire(server.port) as wire:
        if status is not None:
            wire.send(sent)
            assert wire.reply().status == status
        assert wire.ended()


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        (HttpLimits(header_timeout_s=1.5, linger_s=PATIENCE_S), b"GET /v2 HTTP/1.1\r\nA: "),
        (HttpLimits(transfer_timeout_s=0.2, linger_s=PATIENCE_S), post(b"x" * 4000)[:-4000]),
    ],
    ids=["head", "body"],
)
def test_a_client_that_drips_bytes_gains_no_time(limits: HttpLimits, sent: bytes) -> None:
    with running(any_shape_backend(), limits) as server, Wire(server.port) as wire:
        wire.send(sent)
        drips = 0
        while not select.select([wire.socket], [], [], 0.02)[0]:
            wire.send(b"x")
            drips += 1
            assert drips < 500, "ten seconds, for what had two at most"
        assert wire.reply().status == 408


def test_requests_are_not_read_faster_than_they_are_answered() -> None:
    backend, batch = any_shape_backend(gate=asyncio.Event()), post(BODY) * 1000
    with running(backend, HttpLimits(drain_s=0.1)) as server, Wire(server.port) as wire:
        sent = 0
        while sent < 64 << 20 and select.select([], [wire.socket], [], 1.0)[1]:
            sent += wire.socket.send(batch)
        assert sent < 32 << 20, "what is not read stays in the sockets' buffers, and then with the client"
        assert backend.calls == 1


def test_a_client_that_does_not_read_is_let_go_and_memory_with_it() -> None:
    size = 32 << 20  # more than both sockets' buffers
    tensor = {"name": "x", "datatype": "UINT8", "shape": [size], "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    backend = one_input("uint8")
    limits = HttpLimits(transfer_timeout_s=2.0, min_rate_bytes_s=1 << 40)  # for the upload too
    with running(backend, limits) as server, Wire(server.port) as wire:
        wire.send(post(head + bytes(size), f"Inference-Header-Content-Length: {len(head)}"))
        assert backend.closed.acquire(timeout=PATIENCE_S), "the answer is let go although nobody reads it"


def test_too_many_connections_are_told_so() -> None:
    limits = HttpLimits(max_connections=2, linger_s=PATIENCE_S)
    with running(any_shape_backend(), limits) as server, Wire(server.port) as first, Wire(server.port) as second:
        for wire in (first, second):
            wire.send(get("/v2/health/live"))
            assert wire.reply().status == 200
        with Wire(server.port) as third:
            reply = third.reply()
            assert (reply.status, "retry-after" in reply.headers) == (503, True)
            assert third.ended()


def test_bodies_of_all_connections_together_are_bounded() -> None:
    with running(any_shape_backend(), HttpLimits(max_buffered_bytes=1500, linger_s=PATIENCE_S)) as server:
        half = b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: t\r\nContent-Length: 2000\r\n\r\n" + bytes(1000)
        with Wire(server.port) as first, Wire(server.port) as second:
            first.send(half)
            second.send(half)
            # Either may arrive first; the other exceeds the bound.
            readable, _, _ = select.select([first.socket, second.socket], [], [], PATIENCE_S)
            refused = first if readable == [first.socket] else second
            assert refused.reply().status == 503
            assert refused.ended()
        for _ in range(20):  # their memory is released, and so is that of each of these
            with Wire(server.port) as wire:
                wire.send(post(BODY))
                assert wire.reply().status == 200


def test_a_client_that_goes_away_frees_the_backend() -> None:
    backend = any_shape_backend(gate=asyncio.Event())
    with running(backend) as server:
        wire = Wire(server.port)
        wire.send(post(BODY))
        assert backend.arrived.acquire(timeout=PATIENCE_S)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.file.close()
        wire.socket.close()  # with a reset
        assert backend.closed.acquire(timeout=PATIENCE_S), "the gate never opens: only cancelling ends the request"


def test_shutdown_finishes_what_is_in_flight() -> None:
    gate = asyncio.Event()
    backend = any_shape_backend(gate=gate)
    with running(backend) as server, Wire(server.port) as busy, Wire(server.port) as idle:
        idle.send(get("/v2"))
        assert idle.reply().status == 200
        busy.send(post(BODY))
        assert backend.arrived.acquire(timeout=PATIENCE_S)
        server.stop()
        assert idle.ended(), "idle connections close at once"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
        server.call(gate.set)
        reply = busy.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert busy.ended()


def test_shutdown_drops_what_outlasts_its_deadline() -> None:
    backend = any_shape_backend(gate=asyncio.Event())
    with running(backend, HttpLimits(drain_s=0.1)) as server, Wire(server.port) as wire:
        wire.send(post(BODY))
        assert backend.arrived.acquire(timeout=PATIENCE_S)
        server.stop()
        assert wire.ended()


@pytest.mark.parametrize("what", ["in use", "no port"])
def test_a_port_that_cannot_be_had(what: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] if what == "in use" else 70000
        run = serve(
            any_shape_backend(),
            "127.0.0.1",
            port,
            registry=Registry(),
            shutdown=asyncio.Event(),
            on_ready=lambda _port: None,
        )
        with pytest.raises(PlatformError) as caught:
            uvloop.run(run)
    if what == "in use":
        assert str(caught.value) == f"port {port} on 127.0.0.1 is in use: choose another with --port"
    else:
        assert "--port" in str(caught.value)
