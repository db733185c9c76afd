"""Every malformed request gets a 4xx with a JSON error, and the server stays up: no 5xx, no hang."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mopar.gateway.http import HttpLimits
from tests.gateway.http.harness import (
    PATIENCE_S,
    Server,
    Wire,
    any_shape_backend,
    get,
    infer_body,
    one_input,
    post,
    running,
)

LIMITS = HttpLimits(max_body_bytes=1 << 16, max_header_bytes=1 << 12, linger_s=PATIENCE_S)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(any_shape_backend(), LIMITS) as server:
        yield server
        # A good request still succeeds, whatever was sent before.
        with Wire(server.port) as wire:
            wire.send(post(json.dumps(infer_body()).encode()))
            assert wire.reply().status == 200


def _body(**changes: Any) -> bytes:
    return json.dumps(infer_body(**changes)).encode()


def _request(**fields: Any) -> bytes:
    return json.dumps({**infer_body(), **fields}).encode()


BAD_BODIES = {
    "empty": b"",
    "no JSON": b"{",
    "not UTF-8": b'{"inputs": "\xff"}',
    "not UTF-8 where nothing is looked for": json.dumps({"junk": "!", **infer_body()}).encode().replace(b"!", b"\xff"),
    "half a surrogate": json.dumps({"id": "\ud800", **infer_body(data=[float("nan"), 2, 3, 4])}).encode(),
    "deep nesting": b"[" * 60000,
    "deep nesting with NaN": b"[NaN," * 12000,
    "a list": b"[]",
    "a number": b"1e999",
    "no inputs": b"{}",
    "inputs no list": b'{"inputs": {}}',
    "input no object": b'{"inputs": [1]}',
    "id no string": _request(id=5),
    "parameters no object": _request(parameters=[]),
    "flag no boolean": _request(parameters={"binary_data_output": "yes"}),
    "name missing": _body(name=None),
    "name unknown": _body(name="z"),
    "name very long": _body(name="z" * 60000),
    "input twice": json.dumps({"inputs": infer_body()["inputs"] * 2}).encode(),
    "input missing": json.dumps({"inputs": infer_body()["inputs"][:1]}).encode(),
    "datatype missing": _body(datatype=None),
    "datatype unknown": _body(datatype="FP31"),
    "datatype of another tensor": _body(datatype="FP64"),
    "shape missing": _body(shape=None),
    "shape no list": _body(shape=4),
    "rank": _body(shape=[4]),
    "fixed dimension": _body(shape=[4, 1]),
    "negative dimension": _body(shape=[2, -2]),
    "two negative dimensions": _body(shape=[-2, -2]),
    "fractional dimension": _body(shape=[2, 2.5]),
    "boolean dimension": _body(shape=[2, True]),
    "huge dimension": _body(shape=[2, 2**63]),
    "huge empty shape": _body(shape=[2, 2**62], data=[]),
    "symbol of two sizes": _body(shape=[2, 3], data=[1] * 6),
    "no data": _body(data=None),
    "data null": json.dumps(
        {"inputs": [{**infer_body()["inputs"][0], "data": None}, infer_body()["inputs"][1]]}
    ).encode(),
    "too few elements": _body(data=[1, 2, 3]),
    "ragged nesting": _body(data=[[1, 2, 3], [4]]),
    "nested too deep": _body(data=[[[1], [2]], [[3], [4]]]),
    "mixed nesting": _body(data=[[1, 2], 3, 4]),
    "strings for numbers": _body(data=["1", "2", "3", "4"]),
    "booleans for numbers": _body(data=[True, 2, 3, 4]),
    "null for a number": _body(data=[None, 2, 3, 4]),
    "out of FP32's range": _body(data=[1e39, 2, 3, 4]),
    "out of FP64's range": _body(data=[float("nan"), 2, 3, 4321]).replace(b"4321", b"1e999"),
    "vast beside a dimension of 0": json.dumps(
        {
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [2, 0], "data": []},
                {"name": "y", "datatype": "INT64", "shape": [0, 2**62], "data": []},
            ]
        }
    ).encode(),
    "integer out of every range": _body(data=[10**400, 2, 3, 4]),
    "integer of 5000 digits": b'{"inputs": [NaN, %s]}' % (b"9" * 5000),
    "binary data that is not there": _body(data=None, parameters={"binary_data_size": 16}),
    "negative binary size": _body(data=None, parameters={"binary_data_size": -16}),
    "binary size no number": _body(data=None, parameters={"binary_data_size": "16"}),
    "data twice": _body(parameters={"binary_data_size": 0}),
    "shared memory": _body(data=None, parameters={"shared_memory_region": "r"}),
    "output unknown": _request(outputs=[{"name": "z"}]),
    "output twice": _request(outputs=[{"name": "x"}, {"name": "x"}]),
    "output no object": _request(outputs=["x"]),
    "classification": _request(outputs=[{"name": "x", "parameters": {"classification": 3}}]),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body_is_refused_and_the_connection_lives(server: Server, body: bytes) -> None:
    calls = server.backend.calls
    with Wire(server.port) as wire:
        wire.send(post(body))
        reply = wire.reply()
        assert reply.status == 400
        error = reply.json()["error"]
        assert len(error.splitlines()) == 1
        assert len(error) < 600
        wire.send(get("/v2/health/live"))
        assert wire.reply().status == 200
    assert server.backend.calls == calls, "the backend sees only what fits the model"


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "1e1", "٣", "", "100000", "3"])
def test_a_bad_inference_header_length_is_refused(server: Server, length: str) -> None:
    with Wire(server.port) as wire:
        wire.send(post(_body(), f"Inference-Header-Content-Length: {length}"))
        assert wire.reply().status == 400


@pytest.mark.parametrize(("extra", "claimed"), [(b"\0", 16), (b"", 15), (b"", 0)])
def test_binary_data_must_be_exactly_what_is_claimed(server: Server, extra: bytes, claimed: int) -> None:
    head = _body(data=None, parameters={"binary_data_size": claimed})
    with Wire(server.port) as wire:
        wire.send(post(head + bytes(16) + extra, f"Inference-Header-Content-Length: {len(head)}"))
        assert wire.reply().status == 400


@pytest.mark.parametrize(
    ("dtype", "oip", "data"),
    [
        ("string", "BYTES", b"\x01\0\0\0ab"),
        ("string", "BYTES", b"\xff\xff\xff\xff"),
        ("string", "BYTES", b"\x01\0"),
        ("string", "BYTES", b"\0\0\0\0" * 2),
        ("bool", "BOOL", b"\x02"),
    ],
)
def test_binary_data_of_strings_and_booleans_is_checked(dtype: str, oip: str, data: bytes) -> None:
    parameters = {"binary_data_size": len(data)}
    tensor = {"name": "x", "datatype": oip, "shape": [1], "parameters": parameters}
    head = json.dumps({"inputs": [tensor]}).encode()
    with running(one_input(dtype), LIMITS) as server, Wire(server.port) as wire:
        wire.send(post(head + data, f"Inference-Header-Content-Length: {len(head)}"))
        assert (wire.reply().status, server.backend.calls) == (400, 0)


@pytest.mark.parametrize(
    ("dtype", "oip", "data"),
    [
        ("uint8", "UINT8", [256]),
        ("int8", "INT8", [-129]),
        ("uint64", "UINT64", [-1]),
        ("uint64", "UINT64", [2**64]),
        ("int64", "INT64", [2**63]),
        ("int32", "INT32", [1.0]),
        ("bool", "BOOL", [2]),
        ("string", "BYTES", [1]),
    ],
)
def test_json_elements_must_fit_their_type(dtype: str, oip: str, data: list[object]) -> None:
    body = {"inputs": [{"name": "x", "datatype": oip, "shape": [1], "data": data}]}
    with running(one_input(dtype), LIMITS) as server, Wire(server.port) as wire:
        wire.send(post(json.dumps(body).encode()))
        assert (wire.reply().status, server.backend.calls) == (400, 0)


H = b" HTTP/1.1\r\nHost: t\r\n"
INFER = b"POST /v2/models/echo/infer" + H
BAD_REQUESTS = {
    "rubbish": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "unknown method": (b"BREW /v2" + H + b"\r\n", 400),
    "no Host": (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
    "a tunnel": (b"CONNECT t:443" + H + b"\r\n", 400),
    "space in the path": (b"GET /v2 /x" + H + b"\r\n", 400),
    "negative length": (INFER + b"Content-Length: -5\r\n\r\n", 400),
    "length no number": (INFER + b"Content-Length: five\r\n\r\n", 400),
    "length beyond 64 bits": (INFER + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "two lengths": (INFER + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", 400),
    "length and chunked": (INFER + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "unknown coding": (INFER + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 415),
    "chunk size no number": (INFER + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    "chunk longer than its size": (INFER + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n", 400),
    "header without a name": (b"GET /v2" + H + b": x\r\n\r\n", 400),
    "folded header": (b"GET /v2" + H + b"A: x\r\n y\r\n\r\n", 400),
    "unmet expectation": (INFER + b"Content-Length: 2\r\nExpect: miracles\r\n\r\n", 417),
    "announced too large": (INFER + b"Content-Length: 65537\r\n\r\n", 413),
    "sent too large": (
        INFER + b"Transfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + bytes(0x8000) + b"\r\n8001\r\n" + bytes(0x8001),
        413,
    ),
    "long header": (b"GET /v2" + H + b"A: " + b"x" * 5000 + b"\r\n\r\n", 431),
    "endless header": (b"GET /v2" + H + b"A: " + b"x" * 5000, 431),
    "many headers": (b"GET /v2" + H + b"A: x\r\n" * 1000 + b"\r\n", 431),
    "long target": (b"GET /" + b"x" * 5000 + H + b"\r\n", 431),
    "endless chunk extension": (INFER + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 400000, 431),
    "endless trailer": (INFER + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: " + b"x" * 400000, 431),
}


@pytest.mark.parametrize(("request_", "status"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_what_is_no_request_is_refused_and_the_connection_ends(server: Server, request_: bytes, status: int) -> None:
    with Wire(server.port) as wire:
        wire.send(request_)
        reply = wire.reply()
        assert (reply.status, reply.headers["connection"]) == (status, "close")
        assert set(reply.json()) == {"error"}
        assert wire.ended()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/"), 404),
        (get("/v3"), 404),
        (get("/v2/models/other"), 404),
        (get("/v2/models/echo/versions/2"), 404),
        (get("/v2/models/echo/versions"), 404),
        (get("/v2/models/echo/infer/x"), 404),
        (get("/v2/../etc/passwd"), 404),
        (get("/v2/models/%ff"), 404),
        (get("/v2/models/echo/infer"), 405),
        (get("/v2/models/echo/infer", "HEAD"), 405),
        (get("/v2", "DELETE"), 405),
        (post(b"{}", path="/v2/health/live"), 405),
        (post(b"{}", path="/v2/models/other/infer"), 404),
        (post(b"x", "Content-Encoding: br"), 415),
        (get("/v2/models/echo/infer", "POST"), 411),
    ],
)
def test_wrong_paths_methods_and_encodings(server: Server, request_: bytes, status: int) -> None:
    with Wire(server.port) as wire:
        wire.send(request_)
        reply = wire.reply(head_only=request_.startswith(b"HEAD"))
        assert reply.status == status
        assert ("allow" in reply.headers) == (status == 405)


def test_a_refused_upload_still_reads_its_answer(server: Server) -> None:
    """A client that sends everything before it reads must not be reset before it has read the error."""
    with Wire(server.port) as wire:
        wire.send(post(bytes(8 << 20)))
        assert wire.reply().status == 413
