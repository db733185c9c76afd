"""HTTP servers for a function: four implementations around the same engine, compared.

    python -m benchmarks.http_doors [--calls 400] [--starts 5] [--json FILE]

Each server is a separate process, started with a function's environment and as few modules as it needs; it loads the
same graph through ``mopar.runtime``, reads a request's tensors, runs, and sends the output from the engine's memory.
``bare`` is the one in use (``mopar.runtime.http``), with health and deadlines; the other three only read and answer, on
one connection. A client on a kept-alive loopback connection sends and receives 1 KiB and 1 MiB of float32, the servers
interleaved. Resident memory is read after loading, and at the end.
"""

import contextlib
import json
import re
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, save

import mopar
from benchmarks.common import parser, say_where, spread, table, write_raw
from mopar.limits import resident_memory
from mopar.platforms.local.library import engine_library
from mopar.runtime.environment import ENVIRONMENT

BODIES = {"1 KiB": 1 << 10, "1 MiB": 1 << 20}
_MIB = 1 << 20
_WARM = 20
_TIMES = re.compile(rb"Content-Length: (\d+)", re.IGNORECASE)

START = """
import sys
sys.path[:0] = sys.argv[1].split(":")
from mopar.runtime.engine import Engine
from mopar.runtime.config import read_config
from mopar.runtime.function import Function, Room
from mopar.runtime.http.oip import read_inference, write_answer
function = Function(read_config(sys.argv[2]), Engine)
graph, room, number = function.graphs["g0"], Room(), int(sys.argv[3])
def run(split, body):
    inference = read_inference(body[:split], graph, len(body) - split)
    (view,) = room.place([tensor for _, tensor in inference.inputs])
    view[:] = body[split:]
    done = function.run("g0", inference.inputs, inference.outputs)
    return done, [write_answer(graph, inference, done.outputs, [None] * len(done.outputs)), *done.data]
"""
BARE = """
import sys
sys.path[:0] = sys.argv.pop(1).split(":")
sys.argv[2:] = ["--listener", sys.argv[2]]
from mopar.runtime.http import main
main()
"""
HTTP_SERVER = """
import socket
from http.server import BaseHTTPRequestHandler
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_POST(self):
        body = memoryview(self.rfile.read(int(self.headers["Content-Length"])))
        done, parts = run(int(self.headers["Inference-Header-Content-Length"]), body)
        self.send_response(200)
        self.send_header("Content-Length", str(sum(map(len, parts))))
        self.send_header("Inference-Header-Content-Length", str(len(parts[0])))
        self.end_headers()
        for part in parts:
            self.wfile.write(part)
        done.close()
    def log_message(self, *_):
        pass
function.load()
print("ready", flush=True)
listener = socket.socket(fileno=number)
while True:
    connection, address = listener.accept()
    Handler(connection, address, None)
"""
H11 = """
import socket
import h11
function.load()
print("ready", flush=True)
listener = socket.socket(fileno=number)
while True:
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = h11.Connection(h11.SERVER)
    headers, body, filled = {}, None, 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(sock.recv(1 << 16))
        elif isinstance(event, h11.Request):
            headers = dict(event.headers)
            body, filled = memoryview(bytearray(int(headers[b"content-length"]))), 0
        elif isinstance(event, h11.Data):
            body[filled : filled + len(event.data)] = event.data
            filled += len(event.data)
        elif isinstance(event, h11.EndOfMessage):
            done, parts = run(int(headers[b"inference-header-content-length"]), body)
            fields = [
                ("Content-Length", str(sum(map(len, parts)))),
                ("Inference-Header-Content-Length", str(len(parts[0]))),
            ]
            sock.sendmsg([connection.send(h11.Response(status_code=200, headers=fields))])
            for part in parts:
                connection.send(h11.Data(data=part))
                sock.sendall(part)
            connection.send(h11.EndOfMessage())
            done.close()
            connection.start_next_cycle()
        else:
            break
"""
HTTPTOOLS = """
import socket
import httptools
class Reader:
    def on_message_begin(self):
        self.headers, self.whole, self.filled = {}, False, 0
    def on_header(self, name, value):
        self.headers[name.lower()] = value
    def on_headers_complete(self):
        self.body = memoryview(bytearray(int(self.headers[b"content-length"])))
    def on_body(self, data):
        self.body[self.filled : self.filled + len(data)] = data
        self.filled += len(data)
    def on_message_complete(self):
        self.whole = True
function.load()
print("ready", flush=True)
listener = socket.socket(fileno=number)
while True:
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader = Reader()
    reading = httptools.HttpRequestParser(reader)
    while data := sock.recv(1 << 16):
        reading.feed_data(data)
        if reader.whole:
            done, parts = run(int(reader.headers[b"inference-header-content-length"]), reader.body)
            length, split = sum(map(len, parts)), len(parts[0])
            head = f"HTTP/1.1 200 OK\\r\\nContent-Length: {length}\\r\\nInference-Header-Content-Length: {split}"
            sock.sendall(f"{head}\\r\\n\\r\\n".encode())
            for part in parts:
                sock.sendall(part)
            done.close()
"""
DOORS = {"bare": BARE, "http.server": START + HTTP_SERVER, "h11": START + H11, "httptools": START + HTTPTOOLS}


@dataclass(slots=True)
class Samples:
    """One start of a server: resident MiB after loading and at the end, and calls' times by body size."""

    loaded_mib: float = 0.0
    served_mib: float = 0.0
    calls_ms: dict[str, list[float]] = field(default_factory=dict)


def write_function(folder: Path) -> Path:
    """A function whose graph adds 1 to any number of float32."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    nodes = [helper.make_node("Add", ["x", "one"], ["y"])]
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [one])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), folder / "g.onnx")
    sides = {
        side: [{"name": name, "datatype": "FP32", "code": 1}] for side, name in (("inputs", "x"), ("outputs", "y"))
    }
    path = folder / "function.json"
    function = {"function": "f0", "library": str(engine_library()), "threads": 1, "max_body_bytes": 1 << 26}
    path.write_text(json.dumps({**function, "graphs": [{"id": "g0", "path": "g.onnx", "flags": 3, **sides}]}))
    return path


@contextlib.contextmanager
def started(code: str, path: Path) -> Iterator[tuple[int, socket.socket]]:
    """Start a server's process; return it and a connection to it."""
    bare = code is BARE
    folders = [str(Path(mopar.__file__).parents[1]), *([] if bare else [sysconfig.get_path("purelib")])]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", code, ":".join(folders), str(path), str(listener.fileno())],
            pass_fds=[listener.fileno()],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            with socket.create_connection(listener.getsockname()) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                yield process.pid, client
        finally:
            process.kill()
            process.communicate()


def request(nbytes: int) -> bytes:
    """A request with a body of that many zero bytes."""
    given = {"name": "x", "shape": [nbytes // 4], "datatype": "FP32", "parameters": {"binary_data_size": nbytes}}
    text = json.dumps({"inputs": [given], "parameters": {"binary_data_output": True}}).encode()
    head = f"POST /v2/models/g0/infer HTTP/1.1\r\nHost: f0\r\nContent-Length: {len(text) + nbytes}\r\n"
    return f"{head}Inference-Header-Content-Length: {len(text)}\r\n\r\n".encode() + text + bytes(nbytes)


def call(client: socket.socket, data: bytes, room: memoryview, nbytes: int) -> float:
    """Send a request and read its answer; ms."""
    began = time.perf_counter()
    client.sendall(data)
    filled, needed = 0, 0
    while not needed or filled < needed:
        got = client.recv_into(room[filled:])
        assert got, "the door closed the connection"
        filled += got
        if not needed and (end := bytes(room[:4096]).find(b"\r\n\r\n")) >= 0:
            found = _TIMES.search(room[:end])
            assert found is not None
            needed = end + 4 + int(found[1])
    took_ms = (time.perf_counter() - began) * 1e3
    assert np.all(np.frombuffer(room[filled - nbytes : filled], np.float32) == 1.0)
    return took_ms


def sample(code: str, path: Path, calls: int) -> Samples:
    """Measure one start of a server."""
    found = Samples()
    room = memoryview(bytearray(2 * max(BODIES.values())))
    with started(code, path) as (pid, client):
        found.loaded_mib = _resident_mib(pid)
        for name, nbytes in BODIES.items():
            data = request(nbytes)
            found.calls_ms[name] = [call(client, data, room, nbytes) for _ in range(_WARM + calls)][_WARM:]
        found.served_mib = _resident_mib(pid)
    return found


def _resident_mib(pid: int) -> float:
    held = resident_memory(pid)
    return (held.anon + held.file + held.shmem) / _MIB


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--calls", type=int, default=400, help="counted, of each size and start (default: 400)")
    arguments.add_argument("--starts", type=int, default=5, help="of each door, interleaved (default: 5)")
    options = arguments.parse_args()
    say_where(None, "h11", "httptools")
    raw: dict[str, list[Samples]] = {name: [] for name in DOORS}
    with tempfile.TemporaryDirectory(prefix="mopar-doors-") as folder:
        path = write_function(Path(folder))
        for _ in range(options.starts):
            for name, code in DOORS.items():
                raw[name].append(sample(code, path, options.calls))
    rows = []
    for name, starts in raw.items():
        memory = [spread([getattr(start, key) for start in starts]).text(".1f") for key in ("loaded_mib", "served_mib")]
        times = [spread([ms for start in starts for ms in start.calls_ms[body]]).text() for body in BODIES]
        rows.append((name, *memory, *times))
    table(("door", "loaded, MiB", "served, MiB", *(f"{body}, ms" for body in BODIES)), rows)
    print(f"{options.starts} starts, {options.calls} calls of each size; p50 [p25, p75]")
    write_raw(options.json, "http_doors", {"calls": options.calls, "samples": raw})


if __name__ == "__main__":
    main()
