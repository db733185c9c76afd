"""HTTP servers of functions as separate processes, and raw sockets to them."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

import mopar
from mopar.gateway.arrays import Array
from mopar.platforms.local.library import engine_library
from mopar.runtime.environment import ENVIRONMENT
from mopar.types import dtype_of_name, oip_of

PATIENCE_S = 20.0
ROOT = str(Path(mopar.__file__).parents[1])
BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); {}from mopar.runtime.http import main; main()"
Ports = Mapping[str, str]
"""Name -> element type."""


def config(folder: Path, graph: Path, inputs: Ports, outputs: Ports, **changes: object) -> Path:
    """The file of a function ``f0`` with one graph ``g0``."""
    sides = {
        side: [
            {"name": name, "datatype": oip_of(dtype_of_name(dtype)), "code": dtype_of_name(dtype).code}
            for name, dtype in ports.items()
        ]
        for side, ports in (("inputs", inputs), ("outputs", outputs))
    }
    function = {
        "function": "f0",
        "library": str(engine_library()),
        "threads": 1,
        "max_body_bytes": 1 << 20,
        "graphs": [{"id": "g0", "path": str(graph), "flags": 3, **sides}],
        **changes,
    }
    path = folder / "function.json"
    path.write_text(json.dumps(function))
    return path


class Door:
    """A server's process."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.port = port

    def ready(self) -> str:
        """Its message after loading."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def healthy(self) -> bool:
        with Client(self.port) as client:
            return client.ask(get("/v2/health/ready")).status == 200


@contextlib.contextmanager
def opened(path: Path, before: str = "", *arguments: str) -> Iterator[Door]:
    """A server whose process runs ``before`` first; at the end its standard error must be empty."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        handed = ["--listener", str(listener.fileno()), *arguments]
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", BOOT.format(before), ROOT, str(path), *handed],
            pass_fds=[listener.fileno()],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield Door(process, listener.getsockname()[1])
        except BaseException as error:
            error.add_note(f"standard error of the server: {_ended(process)}")
            raise
        said = _ended(process)
    assert said == ""


def _ended(process: "subprocess.Popen[bytes]") -> str:
    """Kill a process; what it wrote to its standard error."""
    process.kill()
    return process.communicate(timeout=PATIENCE_S)[1].decode()


@dataclass(frozen=True)
class Reply:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])

    def outputs(self) -> dict[str, tuple[list[int], bytes]]:
        """Shape and data of each."""
        split = int(self.headers["inference-header-content-length"])
        found, at = {}, split
        for tensor in json.loads(self.body[:split])["outputs"]:
            size = tensor["parameters"]["binary_data_size"]
            found[tensor["name"]] = (tensor["shape"], self.body[at : at + size])
            at += size
        assert at == len(self.body)
        return found


class Client:
    """A raw socket that parses responses."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._stream = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, data: bytes) -> Reply:
        self.send(data)
        return self.reply()

    def reply(self) -> Reply:
        first = self._stream.readline()
        assert first.startswith(b"HTTP/1.1 "), first
        headers = {}
        while line := self._stream.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        return Reply(int(first.split()[1]), headers, self._stream.read(int(headers.get("content-length", 0))))

    def ended(self) -> bool:
        """Whether the other side closes without sending more."""
        return self._stream.read() == b""


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: f0\r\n\r\n".encode()


def infer_parts(feeds: Mapping[str, Array], *headers: str, **changes: Any) -> tuple[bytes, bytes, bytes]:
    """Head, JSON and data of an inference of ``g0``."""
    tensors = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": oip_of(dtype_of_name(array.dtype.name)),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in feeds.items()
    ]
    text = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}, **changes}).encode()
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in feeds.values())
    return head(len(text) + len(data), len(text), *headers), text, data


def infer(feeds: Mapping[str, Array], *headers: str, **changes: Any) -> bytes:
    return b"".join(infer_parts(feeds, *headers, **changes))


def head(length: int, json_length: int, *headers: str, path: str = "/v2/models/g0/infer") -> bytes:
    lines: Sequence[str] = [
        f"POST {path} HTTP/1.1",
        "Host: f0",
        f"Content-Length: {length}",
        f"Inference-Header-Content-Length: {json_length}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def threads_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - a count is all that is wanted
