"""The protocol's paths over real sockets, used as by a client of any other server."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from mopar.types import DeploymentError, OverloadedError, RequestError, TensorSpec
from tests.gateway.http.harness import (
    EchoBackend,
    Server,
    Wire,
    any_shape_backend,
    get,
    infer_body,
    one_input,
    post,
    running,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(any_shape_backend()) as server:
        yield server


def _json(server: Server, request: bytes) -> tuple[int, Any]:
    with Wire(server.port) as wire:
        wire.send(request)
        reply = wire.reply()
        return reply.status, reply.json()


@pytest.mark.parametrize("prefix", ["/v2/models/echo", "/v2/models/echo/versions/1", "/v2/models/%65cho"])
def test_metadata_names_the_tensors_and_shows_free_sizes_as_minus_one(server: Server, prefix: str) -> None:
    status, model = _json(server, get(prefix))
    assert status == 200
    assert (model["name"], model["versions"]) == ("echo", ["1"])
    tensors = [
        {"name": "x", "datatype": "FP32", "shape": [2, -1]},
        {"name": "y", "datatype": "INT64", "shape": [-1, -1]},
    ]
    assert model["inputs"] == model["outputs"] == tensors
    assert _json(server, get(prefix + "/ready")) == (200, {"name": "echo", "ready": True})


def test_metadata_says_what_there_is_to_know_beside_the_tensors(server: Server) -> None:
    assert "parameters" not in _json(server, get("/v2/models/echo"))[1]
    told: dict[str, str | float] = {"lossy_codecs": "int8", "accuracy_points_lost": 0.25}
    with running(any_shape_backend(parameters=told)) as other:
        assert _json(other, get("/v2/models/echo"))[1]["parameters"] == told


def test_server_metadata_promises_only_what_is_there(server: Server) -> None:
    status, about = _json(server, get("/v2"))
    assert status == 200
    assert about["extensions"] == ["binary_tensor_data", "system_shared_memory"]


def test_a_backend_that_is_not_ready_is_alive() -> None:
    with running(any_shape_backend(is_ready=False)) as server:
        assert _json(server, get("/v2/health/live"))[0] == 200
        assert _json(server, get("/v2/health/ready"))[0] == 503
        assert _json(server, get("/v2/models/echo/ready"))[0] == 503


def test_json_in_json_out(server: Server) -> None:
    status, reply = _json(server, post(json.dumps({"id": "ü7", **infer_body()}).encode()))
    assert status == 200
    assert reply == {
        "id": "ü7",
        "model_name": "echo",
        "model_version": "1",
        "outputs": [
            {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]},
            {"name": "y", "datatype": "INT64", "shape": [2, 1], "data": [5, 6]},
        ],
    }


def test_nested_data_is_the_same_as_flat(server: Server) -> None:
    nested = _json(server, post(json.dumps(infer_body(data=[[1, 2], [3, 4]])).encode()))
    assert nested == _json(server, post(json.dumps(infer_body()).encode()))


def test_binary_and_json_mix_in_both_directions(server: Server) -> None:
    request = infer_body(data=None, parameters={"binary_data_size": 16})
    request["outputs"] = [{"name": "y", "parameters": {"binary_data": True}}, {"name": "x"}]
    head, data = json.dumps(request).encode(), struct.pack("<4f", 1, 2, 3, 4)
    with Wire(server.port) as wire:
        wire.send(post(head + data, f"Inference-Header-Content-Length: {len(head)}"))
        reply = wire.reply()
    split = int(reply.headers["inference-header-content-length"])
    outputs = json.loads(reply.body[:split])["outputs"]
    assert [output["name"] for output in outputs] == ["y", "x"], "in the order asked for"
    assert outputs[0]["parameters"] == {"binary_data_size": 16}
    assert "data" not in outputs[0]
    assert outputs[1]["data"] == [1, 2, 3, 4]
    assert struct.unpack("<2q", reply.body[split:]) == (5, 6)


def test_an_outputs_own_flag_beats_the_requests(server: Server) -> None:
    request = {**infer_body(), "parameters": {"binary_data_output": True}}
    request["outputs"] = [{"name": "x", "parameters": {"binary_data": False}}, {"name": "y"}]
    with Wire(server.port) as wire:
        wire.send(post(json.dumps(request).encode()))
        reply = wire.reply()
    first, second = json.loads(reply.body[: int(reply.headers["inference-header-content-length"])])["outputs"]
    assert (first["data"], second["parameters"]) == ([1, 2, 3, 4], {"binary_data_size": 16})


def test_integers_are_exact_at_64_bits() -> None:
    for dtype, values in (("INT64", [2**63 - 1, -(2**63), 2**53 + 1]), ("UINT64", [2**64 - 1, 0, 2**53 + 1])):
        with running(one_input(dtype.lower())) as server:
            body = {"inputs": [{"name": "x", "datatype": dtype, "shape": [3], "data": values}]}
            assert _json(server, post(json.dumps(body).encode()))[1]["outputs"][0]["data"] == values


def test_nan_and_infinities_pass_as_json_both_ways() -> None:
    with running(one_input("float32")) as server, Wire(server.port) as wire:
        data = b"[NaN, Infinity, -Infinity, 1.5]"
        wire.send(post(b'{"inputs":[{"name":"x","datatype":"FP32","shape":[4],"data":%s}]}' % data))
        assert b'"data":' + data in wire.reply().body


def test_half_precision_travels_as_binary_only() -> None:
    with running(one_input("float16")) as server:
        tensor = {"name": "x", "datatype": "FP16", "shape": [1]}
        status, reply = _json(server, post(json.dumps({"inputs": [{**tensor, "data": [1]}]}).encode()))
        assert status == 400
        assert "has no JSON form" in reply["error"]
        head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": 2}}]}).encode()
        header = f"Inference-Header-Content-Length: {len(head)}"
        status, reply = _json(server, post(head + b"\0\0", header))
        assert (status, server.backend.calls) == (400, 0), "refused before the model runs"
        assert "binary_data true" in reply["error"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestError("no", 422), 422),
        (OverloadedError("full"), 503),
        (DeploymentError("broken"), 500),
        (ZeroDivisionError("a bug"), 500),
    ],
)
def test_a_backends_errors_become_statuses_with_json(error: Exception, status: int) -> None:
    with running(any_shape_backend(error=error)) as server, Wire(server.port) as wire:
        wire.send(post(json.dumps(infer_body()).encode()))
        reply = wire.reply()
        assert reply.status == status
        assert set(reply.json()) == {"error"}
        assert ("retry-after" in reply.headers) == (status == 503)


def test_head_has_the_length_but_no_body(server: Server) -> None:
    with Wire(server.port) as wire:
        wire.send(get("/v2", "HEAD") + get("/v2"))
        head = wire.reply(head_only=True)
        assert (head.status, head.headers["content-length"]) == (200, str(len(wire.reply().body)))


def test_metrics_count_by_route_and_status() -> None:
    with running(any_shape_backend(error=OverloadedError("full"))) as server:
        for request in (get("/v2"), get("/nowhere"), post(json.dumps(infer_body()).encode()), b"rubbish\r\n\r\n"):
            with Wire(server.port) as wire:
                wire.send(request)
                wire.reply()
        with Wire(server.port) as wire:
            wire.send(get("/metrics"))
            text = wire.reply().body.decode()
    assert 'mopar_http_requests_total{route="server",status="200"} 1.0' in text
    assert 'mopar_http_requests_total{route="none",status="404"} 1.0' in text
    assert 'mopar_http_requests_total{route="none",status="400"} 1.0' in text
    assert 'mopar_http_requests_total{route="infer",status="503"} 1.0' in text
    assert "mopar_http_queue_rejections_total 1.0" in text
    assert 'mopar_http_request_duration_seconds_count{route="infer"} 1.0' in text
    assert "mopar_http_requests_in_flight 1.0" in text, "the request for the metrics itself"


def test_a_scalar_and_a_model_without_inputs() -> None:
    with running(EchoBackend((TensorSpec("x", "int32", ()),))) as server:
        body = {"inputs": [{"name": "x", "datatype": "INT32", "shape": [], "data": [7]}]}
        assert _json(server, post(json.dumps(body).encode()))[1]["outputs"][0]["data"] == [7]
    with running(EchoBackend(())) as server:
        assert _json(server, post(b'{"inputs":[]}'))[1]["outputs"] == []
