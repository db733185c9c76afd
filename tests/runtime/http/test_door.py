"""A function's HTTP server by its real protocol: a process, and raw sockets."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from mopar.gateway.arrays import Array
from mopar.gateway.client import infer as ask
from mopar.limits import resident_memory
from mopar.platforms.local import GraphFile, WorkerProcess, WorkerSpec
from mopar.types import EngineOptions, RequestError
from tests.graph.composed import run_file
from tests.models import sample_inputs
from tests.platforms.local import graphs
from tests.runtime.http.doors import PATIENCE_S, ROOT, Client, Door, config, get, head, infer, infer_parts, opened
from tests.runtime.running import save
from tests.runtime.test_worker import MODULES

HEALTH = ["/v2/health/live", "/v2/health/ready", "/healthz", "/_/health", "/_/ready"]
FEEDS = sample_inputs("mlp")
SLOW_ENGINE = (
    "from mopar.runtime.http import main as serve; from mopar.runtime.engine import Engine; import os; "
    "serve(lambda *given: os.read(0, 1) and Engine(*given)); "
)
"""An engine whose start waits for a line on standard input."""


@pytest.fixture(scope="module")
def mlp(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return config(tmp_path_factory.mktemp("mlp"), reference("mlp"), {"x": "float32"}, {"y": "float32"})


@pytest.fixture(scope="module")
def want(reference: Callable[[str], Path]) -> Array:
    return run_file(reference("mlp"), FEEDS)["y"]


@pytest.fixture(scope="module")
def door(mlp: Path) -> Iterator[Door]:
    with opened(mlp) as made:
        assert made.ready() == "ready"
        yield made


@pytest.fixture(scope="module")
def spin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spin")
    return config(folder, graphs.spin(folder / "spin.onnx"), {"n": "int64"}, {"y": "int64"})


def assert_right(reply_outputs: dict[str, tuple[list[int], bytes]], want: Array) -> None:
    shape, data = reply_outputs["y"]
    np.testing.assert_allclose(np.frombuffer(data, np.float32).reshape(shape), want, rtol=1e-5)


def test_a_connection_carries_several_requests_and_answers_tell_their_times(door: Door, want: Array) -> None:
    with Client(door.port) as client:
        for name in ("a", None):
            reply = client.ask(infer(FEEDS, **({} if name is None else {"id": name})))
            assert reply.status == 200
            assert_right(reply.outputs(), want)
            assert json.loads(reply.body[: int(reply.headers["inference-header-content-length"])]).get("id") == name
            assert int(reply.headers["mopar-held-ns"]) > int(reply.headers["mopar-compute-ns"]) > 0
        assert [client.ask(get(path)).status for path in HEALTH] == [200] * len(HEALTH)
        client.send(infer(FEEDS) + get("/v2/models/g0") + infer(FEEDS, "Connection: close"))
        assert_right(client.reply().outputs(), want)
        metadata = json.loads(client.reply().body)
        assert [metadata["inputs"][0]["name"], metadata["outputs"][0]["datatype"]] == ["x", "FP32"]
        assert_right(client.reply().outputs(), want)
        assert client.ended()


def test_the_projects_own_client_asks_it(door: Door, want: Array) -> None:
    url = f"http://127.0.0.1:{door.port}/v2/models/g0"
    np.testing.assert_allclose(ask(url, FEEDS)["y"], want, rtol=1e-5)
    with pytest.raises(RequestError, match="the graph takes x"):
        ask(url, {"z": FEEDS["x"]})


def test_inputs_come_in_any_order_and_wherever_they_lie_in_the_body(tmp_path: Path) -> None:
    """Three bytes precede numbers of four and eight: each is read to an aligned address."""
    nodes = [
        helper.make_node("Cast", ["wide"], ["narrow"], to=1),
        helper.make_node("Where", ["take", "left", "narrow"], ["y"]),
    ]
    ports: dict[str, str] = {"left": "float32", "take": "bool", "wide": "float64"}
    path = save(
        tmp_path / "m.onnx", nodes, [(name, dtype, (3,)) for name, dtype in ports.items()], [("y", "float32", (3,))]
    )
    feeds: dict[str, Array] = {
        "take": np.array([True, False, True]),
        "wide": np.array([1.0, 2.0, 3.0]),
        "left": np.array([4.0, 5.0, 6.0], np.float32),
    }
    with opened(config(tmp_path, path, ports, {"y": "float32"})) as door, Client(door.port) as client:
        assert door.ready() == "ready"
        assert np.frombuffer(client.ask(infer(feeds)).outputs()["y"][1], np.float32).tolist() == [4.0, 2.0, 6.0]
        text = infer(feeds)
        reply = client.ask(text.replace(b"\x01\x00\x01", b"\x01\x02\x01"))
        assert (reply.status, reply.error) == (400, "the bytes of a BOOL are 0 and 1")


def test_a_request_that_comes_byte_by_byte_is_read(door: Door, want: Array) -> None:
    with Client(door.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in infer(FEEDS):
            client.send(bytes([byte]))
        assert_right(client.reply().outputs(), want)


def tensor(**changes: object) -> dict[str, object]:
    """The input's JSON entry, changed."""
    return {"name": "x", "shape": [1, 16], "datatype": "FP32", "parameters": {"binary_data_size": 64}, **changes}


REFUSED: dict[str, tuple[str, dict[str, object]]] = {
    "data in JSON": ("binary tensor extension", {"inputs": [tensor(parameters={}, data=[0.0] * 16)]}),
    "answer in JSON": ("binary tensor extension", {"parameters": {}}),
    "another type": ("must be FP32", {"inputs": [tensor(datatype="FP64")]}),
    "another name": ("the graph takes x", {"inputs": [tensor(name="z")]}),
    "no input": ("each of x once", {"inputs": []}),
    "twice": ("each of x once", {"inputs": [tensor(), tensor()]}),
    "an unknown output": ("the graph gives y", {"outputs": [{"name": "z"}]}),
    "too few bytes": ("64 bytes, its shape needs 128", {"inputs": [tensor(shape=[2, 16])]}),
    "negative": ("list of sizes", {"inputs": [tensor(shape=[-1, -16])]}),
    "a shape that fits no memory": ("no tensor can have", {"inputs": [tensor(shape=[1 << 40, 1 << 40, 0])]}),
    "an id that is none": ("id must be text", {"id": 1}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_a_line(door: Door, case: str) -> None:
    says, changes = REFUSED[case]
    with Client(door.port) as client:
        reply = client.ask(infer(FEEDS, **changes))
        assert (reply.status, says in reply.error, "\n" in reply.error) == (400, True, False)
    assert door.healthy()


def test_what_the_engine_refuses_is_the_callers_mistake(door: Door, want: Array) -> None:
    with Client(door.port) as client:
        reply = client.ask(infer({"x": np.zeros((1, 9), np.float32)}))
        assert reply.status == 400
        assert "Expected: 16" in reply.error
    with Client(door.port) as client:
        assert_right(client.ask(infer(FEEDS)).outputs(), want)


HEADS = {
    "too large": (413, head((1 << 20) + 1, 100)),
    "without a length": (411, b"POST /v2/models/g0/infer HTTP/1.1\r\nHost: f\r\n\r\n"),
    "chunked": (411, head(10, 5, "Transfer-Encoding: chunked")),
    "two lengths": (400, head(10, 5, "Content-Length: 11")),
    "no number": (400, head(10, 5).replace(b": 10", b": +10")),
    "without JSON": (400, b"POST /v2/models/g0/infer HTTP/1.1\r\nHost: f\r\nContent-Length: 3\r\n\r\n"),
    "JSON beyond the body": (400, head(10, 11)),
    "another graph": (404, head(10, 5, path="/v2/models/g1/infer")),
    "an expectation": (417, head(10, 5, "Expect: tea")),
    "another path": (404, get("/v2/models")),
    "another version": (505, b"GET /healthz HTTP/2.0\r\nHost: f\r\n\r\n"),
    "no host": (400, b"GET /healthz HTTP/1.1\r\n\r\n"),
    "a folded line": (400, b"GET /healthz HTTP/1.1\r\nHost: f\r\n more\r\n\r\n"),
    "no end": (431, b"GET /healthz HTTP/1.1\r\nHost: f\r\nX: " + b"x" * 40_000),
}


@pytest.mark.parametrize("case", HEADS)
def test_heads_are_read_strictly_and_refused_before_their_bodies(door: Door, case: str) -> None:
    status, data = HEADS[case]
    with Client(door.port) as client:
        reply = client.ask(data)
        assert reply.status == status
        assert reply.error
    assert door.healthy()


MUTATION = st.tuples(
    st.sampled_from(["replace", "insert", "cut", "end"]), st.integers(0, 10_000), st.binary(min_size=1, max_size=3)
)


@given(mutations=st.lists(MUTATION, min_size=1, max_size=3), where=st.sampled_from([0, 1]))
def test_a_damaged_request_is_refused_or_answered_right(
    door: Door, want: Array, mutations: list[tuple[str, int, bytes]], where: int
) -> None:
    """Its head or its JSON is damaged; the data are the same, so any response with an output must be the right one."""
    parts = list(infer_parts(FEEDS))
    for kind, place, data in mutations:
        text, at = parts[where], place % len(parts[where])
        end = {"replace": at + len(data), "insert": at, "cut": at + len(data), "end": len(text)}[kind]
        parts[where] = text[:at] + (b"" if kind in {"cut", "end"} else data) + text[end:] or b"\r"
    with Client(door.port) as client:
        client.send(b"".join(parts))
        client.socket.shutdown(socket.SHUT_WR)
        while client.socket.recv(1, socket.MSG_PEEK):
            reply = client.reply()
            if reply.status != 200:
                assert 400 <= reply.status < 600
                assert reply.status != 500, reply.body
                assert reply.error
            elif reply.headers["content-type"] != "application/json":
                for name in reply.outputs():
                    assert name == "y"
                    assert_right(reply.outputs(), want)
    assert door.healthy()


def test_health_is_told_while_a_request_computes_and_further_requests_wait(spin: Path) -> None:
    with opened(spin) as door, Client(door.port) as first, Client(door.port) as second:
        assert door.ready() == "ready"
        first.send(infer({"n": np.array(2_000_000)}))
        second.send(infer({"n": np.array(3)}))
        answered = 0
        while not _readable(first):
            assert door.healthy()
            answered += 1
        assert answered > 3
        assert [np.frombuffer(reply.outputs()["y"][1], np.int64)[0] for reply in (first.reply(), second.reply())] == [
            2_000_000, 3,
        ]  # fmt: skip


def test_so_many_requests_wait_and_no_more(spin: Path) -> None:
    with opened(spin) as door, contextlib.ExitStack() as stack:
        assert door.ready() == "ready"
        clients = [stack.enter_context(Client(door.port)) for _ in range(20)]
        for client in clients:
            client.send(infer({"n": np.array(graphs.FOREVER)}))
        reply = clients[-1].reply()
        assert (reply.status, reply.error) == (503, "16 requests are waiting already")
        assert not _readable(clients[0])
        assert door.healthy()


def _readable(client: Client) -> bool:
    client.socket.setblocking(False)
    try:
        return bool(client.socket.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        client.socket.settimeout(PATIENCE_S)


def test_what_is_on_its_way_is_answered_when_it_is_told_to_end(mlp: Path, want: Array) -> None:
    """The request has begun, as 100 Continue shows; requests after the signal are refused."""
    parts = infer_parts(FEEDS, "Expect: 100-continue")
    with opened(mlp) as door, Client(door.port) as client, Client(door.port) as other:
        assert door.ready() == "ready"
        assert other.ask(get("/healthz")).status == 200
        client.send(parts[0])
        assert client.reply().status == 100
        door.process.send_signal(signal.SIGTERM)
        client.send(parts[1])
        client.send(parts[2])
        assert_right(client.reply().outputs(), want)
        assert door.process.wait(PATIENCE_S) == 0


def test_while_it_loads_it_is_alive_but_not_ready(mlp: Path, want: Array) -> None:
    with opened(mlp, SLOW_ENGINE) as door, Client(door.port) as client:
        assert [client.ask(get(path)).status for path in HEALTH] == [200, *[503] * (len(HEALTH) - 1)]
        reply = client.ask(infer(FEEDS))
        assert (reply.status, reply.error) == (503, "function f0 is loading")
        assert reply.headers["retry-after"] == "1"
        assert door.process.stdin is not None
        door.process.stdin.write(b"\n")
        door.process.stdin.flush()
        assert door.ready() == "ready"
        with Client(door.port) as later:
            assert_right(later.ask(infer(FEEDS)).outputs(), want)


@pytest.mark.parametrize("sent", [1, 2])
def test_a_slow_client_is_let_go_and_others_are_served(mlp: Path, want: Array, sent: int) -> None:
    """Slow to send its head, or slow to send the announced body, which delays others for that long."""
    slow = "import mopar.runtime.http.connection as c; c._HEAD_S = 0.3; "
    parts = infer_parts(FEEDS)
    with opened(mlp, slow) as door, Client(door.port) as client, Client(door.port) as other:
        assert door.ready() == "ready"
        client.send(parts[0][:-2] if sent == 1 else parts[0] + parts[1])
        assert_right(other.ask(infer(FEEDS)).outputs(), want)
        if sent == 2:
            assert client.reply().status == 408
        assert client.ended()
        assert door.healthy()


def test_more_connections_than_it_keeps_do_not_lock_others_out(door: Door, want: Array) -> None:
    idle = [Client(door.port) for _ in range(80)]
    try:
        with Client(door.port) as client:
            assert_right(client.ask(infer(FEEDS)).outputs(), want)
        assert len(list(Path(f"/proc/{door.process.pid}/fd").iterdir())) < 60
    finally:
        for client in idle:
            client.__exit__()


def test_it_ends_with_whoever_started_it_if_that_is_wanted(mlp: Path) -> None:
    with opened(mlp, "", "--with-parent") as door:
        assert door.ready() == "ready"
        assert door.process.stdin is not None
        door.process.stdin.close()
        assert door.process.wait(PATIENCE_S) == 0
        door.process.stdin = None


def test_it_is_a_module_that_listens_on_a_port(mlp: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "mopar.runtime.http", str(mlp)],
        env={**os.environ, "PORT": str(port), "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
    )
    try:
        door = Door(process, port)
        assert door.ready() == "ready"
        assert door.healthy()
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        process.communicate()


def _other_graph(path: Path) -> None:
    path.write_text(path.read_text().replace("mlp.onnx", "gone.onnx"))


WRONG: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "no file": (Path.unlink, 2, "No such file"),
    "no JSON": (lambda path: path.write_text("{"), 2, "function.json: "),
    "a field of another kind": (lambda path: path.write_text('{"function": 1}'), 2, "function must be text"),
    "no graph": (_other_graph, 1, "gone.onnx"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_it_cannot_serve_is_said_in_a_line(tmp_path: Path, reference: Callable[[str], Path], case: str) -> None:
    spoil, status, says = WRONG[case]
    path = config(tmp_path, reference("mlp"), {"x": "float32"}, {"y": "float32"})
    spoil(path)
    with opened(path) as door:
        said = door.ready()
        assert said.startswith("failed: ")
        assert says in said
        assert door.process.wait(PATIENCE_S) == status


LOADED = "import atexit, os; os._exit = lambda _status: print(*sorted(sys.modules), flush=True); "


def test_it_holds_these_modules_and_no_others(mlp: Path) -> None:
    """Counted at the end, so that late imports count too."""
    with opened(mlp, LOADED) as door:
        assert door.ready() == "ready"
        with Client(door.port) as client:
            assert client.ask(infer(FEEDS)).status == 200
        door.process.send_signal(signal.SIGTERM)
        held = set(door.ready().split())
    bare = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", "import sys; print(*sys.modules)"], capture_output=True, check=True
    )
    own = {name for name in held if not name.startswith("mopar")} - set(bare.stdout.decode().split())
    assert own - {"atexit"} <= MODULES | {"_json", "select"}


def test_it_takes_little_more_memory_than_a_worker(mlp: Path, reference: Callable[[str], Path]) -> None:
    """The difference was 0.7 MiB when it was measured (docs/architecture.md)."""
    with WorkerProcess(WorkerSpec("f0", (GraphFile(reference("mlp"), EngineOptions(), ("x",), ("y",)),))) as worker:
        worker.load(PATIENCE_S)
        with opened(mlp) as fresh:
            assert fresh.ready() == "ready"
            held = [resident_memory(pid) for pid in (worker.pid, fresh.process.pid)]
    assert held[1].anon + held[1].file - held[0].anon - held[0].file < 6 << 20
