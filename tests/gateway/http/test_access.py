"""Access control: tokens, host names, origins of pages, and connections per client."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mopar.gateway.http import Access, HttpLimits, access_for, is_loopback
from mopar.gateway.http.crowd import Crowd
from mopar.gateway.token import Token, read_token
from mopar.types import RequestError, UsageError
from tests.gateway.http.harness import PATIENCE_S, Wire, any_shape_backend, get, infer_body, post, running

ANYWHERE = "0.0.0.0"  # noqa: S104  nothing listens there
BODY = json.dumps(infer_body()).encode()


def _status(access: Access, path: str = "/v2", **headers: str) -> int:
    try:
        access.check(path, headers)
    except RequestError as error:
        return error.status
    return 200


LOCAL = access_for("127.0.0.1", ["Model.Example."], None)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("localhost.", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("10.0.0.7", 200),
        ("model.example:1", 200),
        ("evil.example", 421),
        ("localhost.evil.example:8000", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 421),
        ("evil.example@localhost", 421),
        ("localhost, evil.example", 421),
        ("[::1", 421),
        ("localhost:x", 421),
        ("", 421),
        (" ", 421),
    ],
)
def test_a_name_that_another_site_chose_is_not_served(host: str, status: int) -> None:
    assert _status(LOCAL, host=host) == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8000", 200),
        ("https://model.example", 200),
        ("http://localhost:3000", 403),
        ("http://127.0.0.1:8000", 403),
        ("http://10.0.0.7:8000", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://[::1", 403),
        ("", 403),
    ],
)
def test_pages_of_other_sites_are_not_served(origin: str, status: int) -> None:
    assert _status(LOCAL, host="localhost:8000", origin=origin) == status


def test_elsewhere_names_are_checked_where_some_are_given() -> None:
    assert _status(access_for(ANYWHERE, [], None), host="evil.example", origin="http://other.example") == 200
    assert _status(access_for(ANYWHERE, ["a.example"], None), host="evil.example") == 421


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), (ANYWHERE, False), ("::", False)],
)
def test_what_is_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) == loopback


def test_a_token_is_asked_for_everywhere_but_for_health() -> None:
    access = Access(Token("s3cret"))
    with running(any_shape_backend(), access=access) as server:
        for request, status in [
            (get("/v2/health/live"), 200),
            (get("/v2/health/ready"), 200),
            (get("/v2"), 401),
            (get("/metrics"), 401),
            (get("/nowhere"), 401),
            (post(BODY), 401),
            (post(BODY, "Authorization: Bearer s3cre"), 401),
            (post(BODY, "Authorization: Basic s3cret"), 401),
            (post(BODY, "Authorization: Bearer s3cret", "Authorization: Bearer s3cret"), 401),
            (post(BODY, "Authorization: Bearer s\xc3\xa9cret"), 401),
            (post(BODY, "Authorization: bearer s3cret"), 200),
        ]:
            with Wire(server.port) as wire:
                wire.send(request)
                reply = wire.reply()
                assert (reply.status, "www-authenticate" in reply.headers) == (status, status == 401), request
                assert b"s3cret" not in reply.body
        assert server.backend.calls == 1


def test_without_a_token_no_body_is_waited_for() -> None:
    limits, access = HttpLimits(linger_s=PATIENCE_S), Access(Token("t"))
    with running(any_shape_backend(), limits, access=access) as server, Wire(server.port) as wire:
        wire.send(post(bytes(60 << 20))[:200])
        assert wire.reply().status == 401


def _file(path: Path, text: bytes = b"t0ken\n", mode: int = 0o600) -> Path:
    path.write_bytes(text)
    path.chmod(mode)
    return path


def test_a_token_comes_from_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    token = read_token(_file(tmp_path / "token"))
    assert token.header() == "Bearer t0ken"
    assert "t0ken" not in repr(token)
    assert token.admits("Bearer t0ken")
    assert not token.admits(None)


BAD_FILES: Mapping[str, Callable[[Path], object]] = {
    "missing": lambda path: path,
    "open to others": lambda path: _file(path, mode=0o644),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path, 0o600),
    "empty": lambda path: _file(path, b"\n"),
    "two lines": lambda path: _file(path, b"a\nb\n"),
    "not ASCII": lambda path: _file(path, "é".encode()),
    "endless": lambda path: _file(path, b"x" * 5000),
}


@pytest.mark.parametrize("make", BAD_FILES.values(), ids=BAD_FILES)
def test_a_token_file_that_cannot_be_used(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "token")
    with pytest.raises(UsageError, match="token"):
        read_token(tmp_path / "token")


class _Member:
    def __init__(self, *, idle: bool = True) -> None:
        self.idle, self.stopped = idle, False

    def stop(self) -> None:
        self.stopped = True


def test_a_client_has_a_share_of_the_connections() -> None:
    crowd = Crowd(HttpLimits(max_connections=6, max_client_connections=4))
    members = [_Member(idle=number > 0) for number in range(5)]
    refusals = [crowd.admit(member, "10.0.0.1") for member in members]
    assert [text is None for text in refusals] == [True] * 4 + [False]
    assert crowd.admit(_Member(), "10.0.0.2") is None
    assert crowd.admit(_Member(), "10.0.0.3") is None, "the last one"
    assert crowd.admit(_Member(), "10.0.0.4") is None, "room is made"
    assert [member.stopped for member in members] == [False, True, False, False, False], "the oldest idle one goes"
    crowd.leave(members[1])
    crowd.leave(members[4])  # neither is counted any more
    assert crowd.admit(_Member(), "10.0.0.5") is None
    assert crowd.admit(_Member(), "10.0.0.6") is None
    assert crowd.admit(_Member(), "10.0.0.7") is not None, "all clients have one connection each"


def test_addresses_of_one_network_are_one_client() -> None:
    crowd = Crowd(HttpLimits(max_client_connections=1))
    assert crowd.admit(_Member(), "2001:db8::1") is None
    assert crowd.admit(_Member(), "2001:db8::2") is not None
    assert crowd.admit(_Member(), "2001:db8:0:1::2") is None
    assert crowd.admit(_Member(), "::ffff:10.0.0.1") is None
    assert crowd.admit(_Member(), "::ffff:10.0.0.2") is None
    assert crowd.admit(_Member(), "10.0.0.2") is not None
    assert crowd.admit(_Member(), "fe80::1%eth0") is None
    assert crowd.admit(_Member(), "") is None


def test_connections_of_one_address_leave_room_for_others() -> None:
    limits = HttpLimits(max_connections=4, max_client_connections=2, linger_s=PATIENCE_S)
    with running(any_shape_backend(), limits) as server:
        wires = [Wire(server.port) for _ in range(12)]
        try:
            wires[2].reply()  # the first of the others get an error, the last ones are closed without one
            assert wires[11].ended()
            with Wire(server.port, "127.0.0.2") as other:
                other.send(get("/v2/health/live"))
                assert other.reply().status == 200
        finally:
            for wire in wires:
                wire.__exit__()


LARGE = {
    "numbers": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[2,2000000],"data":[%b1]}]}' % (b"1," * 3999999),
    "arrays in data": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[2,0],"data":[%b1]}]}' % (b"[]," * 2700000),
    "arrays in an unknown field": b'{"inputs":[],"junk":[%b1]}' % (b"[]," * 2700000),
    "tensors": b'{"inputs":[%b1]}' % (b'{"name":"","datatype":"","shape":[]},' * 220000),
    "escapes": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[2,1],"data":["%b",1]}]}' % (b"\\n" * 4000000),
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
def test_health_answers_while_large_json_is_decoded(body: bytes) -> None:
    """The median latency of health, since the test machine may be busy; decoding the whole text takes far longer."""
    stop, seconds = threading.Event(), list[float]()
    with running(any_shape_backend()) as server, Wire(server.port) as prober:

        def probe() -> None:
            while not stop.is_set():
                begun = time.perf_counter()
                prober.send(get("/v2/health/live"))
                assert prober.reply().status == 200
                seconds.append(time.perf_counter() - begun)

        thread = threading.Thread(target=probe)
        with Wire(server.port) as first, Wire(server.port) as second:
            for wire in (first, second):
                wire.send(post(body))
            thread.start()
            statuses = [wire.reply().status for wire in (first, second)]
        stop.set()
        thread.join(PATIENCE_S)
    assert set(statuses) <= {400, 413}
    assert sorted(seconds)[len(seconds) // 2] < 0.05


def test_json_has_a_limit_of_its_own() -> None:
    body = b'{"inputs":[]%b}' % (b" " * 2000)
    with running(any_shape_backend(), HttpLimits(max_json_bytes=1000)) as server, Wire(server.port) as wire:
        wire.send(post(body))
        reply = wire.reply()
        assert reply.status == 413
        assert "binary data" in reply.json()["error"]
        head = json.dumps(infer_body(data=None, parameters={"binary_data_size": 16})).encode()
        wire.send(post(head + bytes(16), f"Inference-Header-Content-Length: {len(head)}"))
        assert wire.reply().status == 200


def test_large_answers_as_json_arrive_whole() -> None:
    values = list(range(400_000))
    with running(any_shape_backend(), HttpLimits(max_json_answer_bytes=6_000_000)) as server, Wire(server.port) as wire:
        for rows, status in ((200_000, 200), (400_000, 400)):
            x = {"name": "x", "datatype": "FP32", "shape": [2, rows], "data": values[:rows] * 2}
            y = {"name": "y", "datatype": "INT64", "shape": [rows, 0], "data": []}
            wire.send(post(json.dumps({"inputs": [x, y]}).encode()))
            reply = wire.reply()
            assert reply.status == status
            if status == 200:
                assert reply.json()["outputs"][0]["data"] == x["data"]
            else:
                assert "binary_data true" in reply.json()["error"]
