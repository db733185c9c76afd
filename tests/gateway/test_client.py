import asyncio
import socket
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest

from mopar.gateway.arrays import Array
from mopar.gateway.client import Client, infer
from mopar.gateway.http import Access, HttpLimits
from mopar.gateway.token import Token
from mopar.types import DeploymentError, OverloadedError, RequestError, TensorSpec, UsageError
from tests.gateway.http.harness import EchoBackend, Server, any_shape_backend, running

ARRAYS: dict[str, Array] = {
    "floats": np.array([[1.5, np.nan], [np.inf, -0.0]], np.float32),
    "halves": np.array([1, 2], np.float16),
    "brains": np.array([1, 3], ml_dtypes.bfloat16),
    "eights": np.array([1, 2], ml_dtypes.float8_e4m3fn),
    "long": np.array([2**63 - 1, -(2**63)], np.int64),
    "unsigned": np.array(2**64 - 1, np.uint64),
    "flags": np.array([True, False]),
    "text": np.array([["a", "ü\0"], ["", "日本"]], object),
    "empty": np.zeros((0, 3), np.int32),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    specs = [
        TensorSpec(name, "string" if array.dtype == object else array.dtype.name, None)
        for name, array in ARRAYS.items()
    ]
    with running(EchoBackend(tuple(specs), name="an echo")) as server:
        yield server


@pytest.mark.parametrize("path", ["", "/", "/v2/models/an%20echo"])
def test_arrays_come_back_as_they_were_sent(server: Server, path: str) -> None:
    got = infer(f"http://127.0.0.1:{server.port}{path}", ARRAYS)
    assert list(got) == list(ARRAYS)
    for name, want in ARRAYS.items():
        assert (got[name].dtype, got[name].shape) == (want.dtype, want.shape)
        assert got[name].tobytes() == want.tobytes() if want.dtype != object else (got[name] == want).all()


def test_one_connection_serves_many_requests_and_survives_its_closing() -> None:
    backend, limits = EchoBackend((TensorSpec("x", "int64", ("n",)),)), HttpLimits(idle_timeout_s=0.2)
    with running(backend, limits) as server, Client(f"http://127.0.0.1:{server.port}") as client:
        for number in range(20):
            assert client.infer({"x": np.array([number])})["x"].tolist() == [number]
        assert client._connection.sock.recv(1, socket.MSG_PEEK) == b"", "closed by the server, unseen by the client"
        assert client.infer({"x": np.array([7])}, ["x"])["x"].tolist() == [7]


def test_metadata_and_readiness(server: Server) -> None:
    with Client(f"http://127.0.0.1:{server.port}/v2") as client:
        assert client.ready()
        assert [tensor["name"] for tensor in client.metadata()["inputs"]] == list(ARRAYS)
    with running(any_shape_backend(is_ready=False)) as other, Client(f"http://127.0.0.1:{other.port}") as client:
        assert not client.ready()


def test_refusals_carry_the_servers_words_and_status(server: Server) -> None:
    with Client(f"http://127.0.0.1:{server.port}") as client:
        with pytest.raises(RequestError, match="input nope is unknown") as caught:
            client.infer({"nope": np.zeros(1)})
        assert caught.value.status == 400
    with pytest.raises(RequestError, match="no model other") as caught:
        infer(f"http://127.0.0.1:{server.port}/v2/models/other", {})
    assert caught.value.status == 404


@pytest.mark.parametrize("error", [OverloadedError("the queue is full"), DeploymentError("slice 2 died")])
def test_failures_of_the_server_keep_their_kind(error: Exception) -> None:
    with running(EchoBackend((), error=error)) as server, pytest.raises(type(error), match=str(error)):
        infer(f"http://127.0.0.1:{server.port}", {})


def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    with (
        running(EchoBackend((), gate=asyncio.Event()), HttpLimits(drain_s=0.1)) as server,
        pytest.raises(DeploymentError, match="cannot be reached"),
    ):
        infer(f"http://127.0.0.1:{server.port}/v2/models/echo", {}, timeout_s=0.1)


def test_no_server_at_all() -> None:
    with running(EchoBackend(())) as server:
        port = server.port
    with pytest.raises(DeploymentError, match=f"http://127.0.0.1:{port} cannot be reached"):
        infer(f"http://127.0.0.1:{port}", {})


def test_a_token_is_sent_with_every_request() -> None:
    backend = EchoBackend((TensorSpec("x", "int64", ("n",)),))
    with running(backend, access=Access(Token("s3cret"))) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert infer(url, {"x": np.array([7])}, token=Token("s3cret"))["x"].tolist() == [7]
        with pytest.raises(RequestError, match="bearer token") as caught:
            infer(url, {"x": np.array([7])})
        assert caught.value.status == 401


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://[::1",
        "http://[::g]",
        f"http://{'a' * 70}",
        "http://a..b",
        "http://a b",
        "http://host/\x01",
        "http://host/é",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(UsageError):
        Client(url)
