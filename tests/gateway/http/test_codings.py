"""Compressed bodies: what is unpacked equals what was packed, within a bound, and answers are packed on request."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mopar.gateway.http import HttpLimits
from mopar.gateway.http.codings import answer_coding, pack, unpack
from mopar.gateway.http.messages import JSON, Response
from mopar.types import RequestError
from tests.gateway.http.harness import Server, Wire, any_shape_backend, infer_body, post, running

LIMIT = 1 << 20
BINARY = "application/octet-stream"
PACKED: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(any_shape_backend(), HttpLimits(max_body_bytes=LIMIT)) as server:
        yield server


@given(st.binary(max_size=2000), st.sampled_from(sorted(PACKED)), st.integers(1, 50))
def test_what_is_unpacked_equals_what_was_packed(data: bytes, coding: str, repeats: int) -> None:
    body = data * repeats
    assert bytes(unpack(memoryview(PACKED[coding](body)), coding, LIMIT)) == body
    response = pack(Response(200, [data] * repeats, BINARY), coding)
    assert bytes(unpack(memoryview(b"".join(response.chunks)), coding, LIMIT)) == body


def test_gzip_data_may_follow_gzip_data() -> None:
    assert bytes(unpack(memoryview(gzip.compress(b"one ") + gzip.compress(b"two")), "gzip", LIMIT)) == b"one two"


@pytest.mark.parametrize(
    ("body", "coding", "status", "message"),
    [
        (gzip.compress(bytes(LIMIT + 1)), "gzip", 413, "too large once it is unpacked: the limit is 1048576"),
        (gzip.compress(b"x" * 999)[:-9], "gzip", 400, "ends in the middle"),
        (b"", "deflate", 400, "ends in the middle"),
        (b"{}", "gzip", 400, "not valid gzip data"),
        (zlib.compress(b"{}") + b"more", "deflate", 400, "4 bytes follow"),
        (gzip.compress(b"{}") + b"more", "gzip", 400, "not valid gzip data"),
    ],
    ids=["bomb", "cut", "empty", "plain", "deflate and more", "gzip and more"],
)
def test_what_cannot_be_unpacked_is_refused(body: bytes, coding: str, status: int, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        unpack(memoryview(body), coding, LIMIT)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("accept", "content_type", "coding"),
    [
        (None, JSON, None),
        ("gzip", JSON, "gzip"),
        ("deflate", BINARY, "deflate"),
        ("gzip;q=0, deflate;q=0.5", JSON, "deflate"),
        ("gzip, deflate, br", JSON, "gzip"),
        ("gzip, deflate, br", BINARY, None),
        ("*", JSON, "gzip"),
        ("br", JSON, None),
        ("identity", JSON, None),
        ("gzip;q=high", JSON, None),
    ],
)
def test_an_answer_is_packed_as_its_client_asks(accept: str | None, content_type: str, coding: str | None) -> None:
    assert answer_coding(accept, Response(200, [bytes(5000)], content_type)) == coding
    assert answer_coding(accept, Response(200, [b"short"], content_type)) is None


@pytest.mark.parametrize("coding", sorted(PACKED))
def test_a_request_may_be_packed_and_its_answer_too(server: Server, coding: str) -> None:
    body = json.dumps(infer_body()).encode()
    numbers = json.dumps({"inputs": [_tensor("x", "FP32", [2, 500]), _tensor("y", "INT64", [500, 0])]}).encode()
    with Wire(server.port) as wire:
        wire.send(post(PACKED[coding](body), f"Content-Encoding: {coding}"))
        assert wire.reply().json()["outputs"][0]["data"] == [1.0, 2.0, 3.0, 4.0]
        wire.send(post(numbers, f"Accept-Encoding: {coding}"))
        reply = wire.reply()
    assert reply.headers["content-encoding"] == coding
    assert json.loads(bytes(unpack(memoryview(reply.body), coding, LIMIT)))["outputs"][0]["shape"] == [2, 500]


def test_an_unknown_coding_and_a_bomb_are_refused_and_the_server_goes_on(server: Server) -> None:
    with Wire(server.port) as wire:
        wire.send(post(b"{}", "Content-Encoding: br"))
        assert wire.reply().status == 415
        wire.send(post(gzip.compress(bytes(4 * LIMIT)), "Content-Encoding: gzip"))
        assert wire.reply().status == 413
        wire.send(post(json.dumps(infer_body()).encode()))
        assert wire.reply().status == 200


def _tensor(name: str, datatype: str, shape: list[int]) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": [1] * (shape[0] * shape[1])}
