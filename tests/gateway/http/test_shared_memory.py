"""Tensors in memory that clients share, by the extension's rules: copied here, since the backend can map none."""

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import pytest

from mopar.gateway.budget import MemoryBudget
from mopar.gateway.http.caller import user_of
from mopar.gateway.regions import FOLDER, Regions
from mopar.types import TensorSpec
from tests.gateway.http.harness import EchoBackend, Reply, Server, Wire, get, post, running

X = struct.pack("<4f", 1, 2, 3, 4)
STRINGS = struct.pack("<I", 2) + b"ab" + struct.pack("<I", 0)


@pytest.fixture
def server() -> Iterator[Server]:
    specs = (TensorSpec("x", "float32", (4,)), TensorSpec("s", "string", (2,)), TensorSpec("b", "bool", (2,)))
    with running(EchoBackend(specs)) as server:
        yield server


@dataclass(frozen=True)
class Memory:
    name: str
    buf: memoryview


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = shared_memory.SharedMemory(create=True, size=4096)
    assert made.buf is not None
    yield Memory(made.name, made.buf)
    made.close()
    made.unlink()


def ask(server: Server, request: bytes) -> Reply:
    with Wire(server.port) as wire:
        wire.send(request)
        return wire.reply()


def register(server: Server, name: str, key: str, **fields: Any) -> Reply:
    body = json.dumps({"key": key, "offset": 0, "byte_size": 4096, **fields}).encode()
    return ask(server, post(body, path=f"/v2/systemsharedmemory/region/{name}/register"))


def part(region: str, offset: int, nbytes: int) -> dict[str, Any]:
    return {
        "parameters": {
            "shared_memory_region": region,
            "shared_memory_offset": offset,
            "shared_memory_byte_size": nbytes,
        }
    }


def request(
    x: dict[str, Any], s: dict[str, Any] | None = None, b: dict[str, Any] | None = None, outputs: Any = ()
) -> bytes:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [4], **x},
        {"name": "s", "datatype": "BYTES", "shape": [2], **(s or {"data": ["a", "b"]})},
        {"name": "b", "datatype": "BOOL", "shape": [2], **(b or {"data": [True, False]})},
    ]
    return post(json.dumps({"inputs": inputs, "outputs": list(outputs)}).encode())


def test_inputs_are_read_from_regions_and_outputs_written_to_them(server: Server, memory: Memory) -> None:
    memory.buf[100:116], memory.buf[200 : 200 + len(STRINGS)], memory.buf[300:302] = X, STRINGS, b"\1\1"
    assert register(server, "all", memory.name).status == 200
    outputs = [
        {"name": "x", **part("all", 1024, 16)},
        {"name": "s", **part("all", 1100, 64)},
        {"name": "b"},
    ]
    reply = ask(
        server,
        request(part("all", 100, 16), part("all", 200, len(STRINGS)), part("all", 300, 2), outputs),
    )
    assert reply.status == 200
    x, s, b = reply.json()["outputs"]
    assert x["parameters"] == part("all", 1024, 16)["parameters"]
    assert s["parameters"] == part("all", 1100, len(STRINGS))["parameters"]
    assert b["data"] == [True, True]
    assert bytes(memory.buf[1024:1040]) == X
    assert bytes(memory.buf[1100 : 1100 + len(STRINGS)]) == STRINGS


def test_regions_are_listed_and_forgotten(server: Server, memory: Memory) -> None:
    for name, offset in (("one", 0), ("two", 1000)):
        assert register(server, name, memory.name, offset=offset, byte_size=1000).status == 200
    status = "/v2/systemsharedmemory/status"
    assert [found["name"] for found in ask(server, get(status)).json()] == ["one", "two"]
    (two,) = ask(server, get("/v2/systemsharedmemory/region/two/status")).json()
    assert two == {"name": "two", "key": memory.name, "offset": 1000, "byte_size": 1000}
    assert ask(server, post(b"", path="/v2/systemsharedmemory/region/one/unregister")).status == 200
    assert ask(server, post(b"", path="/v2/systemsharedmemory/region/one/unregister")).status == 200
    assert [found["name"] for found in ask(server, get(status)).json()] == ["two"]
    assert ask(server, post(b"", path="/v2/systemsharedmemory/unregister")).status == 200
    assert ask(server, get(status)).json() == []
    assert ask(server, get("/v2/systemsharedmemory/region/two/status")).status == 400


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": "/not-there"}, "cannot be opened"),
        ({"key": "../etc/passwd"}, "no name of shared memory"),
        ({"key": "."}, "no name of shared memory"),
        ({"key": "a\0b"}, "no name of shared memory"),
        ({"key": ""}, "no name of shared memory"),
        ({"offset": 1}, "reach past its end"),
        ({"byte_size": 4097}, "reach past its end"),
        ({"byte_size": (1 << 63) - 1, "offset": (1 << 63) - 1}, "reach past its end"),
        ({"byte_size": 1 << 64}, "malformed"),
        ({"byte_size": 0}, "at least 1 byte"),
        ({"byte_size": -1}, "malformed"),
        ({"key": 7}, "malformed"),
    ],
)
def test_what_cannot_be_registered_is_refused(
    server: Server, memory: Memory, changes: dict[str, Any], message: str
) -> None:
    reply = register(server, "wrong", **{"key": memory.name, **changes})
    assert reply.status == 400
    assert message in reply.json()["error"]


def test_a_link_a_folder_and_another_users_memory_are_refused(server: Server, memory: Memory) -> None:
    path = f"{FOLDER}/{memory.name}"
    link, folder = Path(f"{path}-link"), Path(f"{path}-folder")
    link.symlink_to(path)
    folder.mkdir()
    try:
        for key in (f"{memory.name}-link", f"{memory.name}-folder"):
            assert "cannot be opened" in register(server, "r", key).json()["error"]
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
            assert "not yours" in register(server, "r", memory.name).json()["error"]
    finally:
        link.unlink()
        folder.rmdir()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (part("none", 0, 16), "no region none"),
        (part("all", 4090, 16), "reach past region all"),
        (part("all", 0, 12), "12 bytes of data"),
        (part("all", (1 << 63) - 1, 16), "reach past region all"),
        ({**part("all", 0, 16), "data": [1, 2, 3, 4]}, "shared_memory_region beside"),
        ({"parameters": {"shared_memory_region": "all"}}, "needs the parameter shared_memory_byte_size"),
        ({"parameters": {"shared_memory_region": 3}}, "must be a region's name"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(server: Server, memory: Memory, x: dict[str, Any], message: str) -> None:
    register(server, "all", memory.name)
    reply = ask(server, request(x))
    assert reply.status == 400
    assert message in reply.json()["error"]


def test_an_output_that_does_not_fit_and_memory_that_was_cut_short_are_told(server: Server, memory: Memory) -> None:
    register(server, "all", memory.name)
    small = ask(server, request({"data": [1, 2, 3, 4]}, outputs=[{"name": "x", **part("all", 0, 12)}]))
    assert small.status == 400
    assert "16 bytes does not fit into the 12" in small.json()["error"]
    os.truncate(f"{FOLDER}/{memory.name}", 8)
    cut = ask(server, request(part("all", 0, 16)))
    assert cut.status == 400
    assert "shorter than it was" in cut.json()["error"]
    os.truncate(f"{FOLDER}/{memory.name}", 4096)


def test_memory_of_regions_counts_and_is_given_back() -> None:
    budget = MemoryBudget(1 << 20, 1 << 20)
    memory = shared_memory.SharedMemory(create=True, size=4096)
    specs = (TensorSpec("x", "float32", (4,)),)
    try:
        with running(EchoBackend(specs), regions=Regions(budget)) as server:
            assert register(server, "r", memory.name).status == 200
            assert register(server, "r", memory.name).status == 400
            assert register(server, "wrong", "not-there").status == 400
            assert register(server, "huge", memory.name, byte_size=1 << 20).status == 503
            assert budget.held == 4096
            assert ask(server, post(b"", path="/v2/systemsharedmemory/unregister")).status == 200
            assert budget.held == 0
    finally:
        memory.close()
        memory.unlink()


def test_booleans_in_regions_are_checked(server: Server, memory: Memory) -> None:
    memory.buf[0:2] = b"\1\2"
    register(server, "all", memory.name)
    reply = ask(server, request({"data": [1, 2, 3, 4]}, b=part("all", 0, 2)))
    assert reply.status == 400
    assert "BOOL" in reply.json()["error"]


def test_the_user_of_a_connection_is_known_on_this_machine_alone(server: Server) -> None:
    with Wire(server.port, source="127.0.0.9") as wire:
        assert user_of(_Ends(wire.socket.getsockname(), wire.socket.getpeername())) == os.geteuid()  # type: ignore[arg-type]
    assert user_of(_Ends(("192.0.2.1", 5), ("127.0.0.1", server.port))) is None  # type: ignore[arg-type]


class _Ends:
    """A connection with these two ends."""

    def __init__(self, peer: tuple[str, int], own: tuple[str, int]) -> None:
        self._peer, self._own = peer, own

    def getpeername(self) -> tuple[str, int]:
        return self._peer

    def getsockname(self) -> tuple[str, int]:
        return self._own
