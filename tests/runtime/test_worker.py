"""The worker's process: its imports, and that it ends with its gateway."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import mopar
from mopar.platforms.local import Arena, WorkerProcess, WorkerSpec
from mopar.platforms.local.library import engine_library
from mopar.platforms.local.process import GraphFile
from mopar.runtime import frames
from mopar.types import EngineError, EngineOptions

PATIENCE_S = 20.0
ROOT = str(Path(mopar.__file__).parents[1])
BARE = [sys.executable, "-I", "-S", "-B", "-c"]

CTYPES = {"_ctypes", "ctypes", "ctypes._endian", "types"}
SYSTEM = {"_collections_abc", "_stat", "genericpath", "os", "os.path", "posixpath", "stat"}
MODULES = CTYPES | SYSTEM | {"_socket", "_struct", "mmap", "struct"}
"""All modules of a function besides Python's own, ONNX Runtime and mopar.runtime. Measure before adding one."""

LOADED = """
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
from mopar.runtime import frames
from mopar.runtime.worker import Worker
worker = Worker()
worker.answer(memoryview(frames.pack_init(sys.argv[2], 1)), [])
worker.answer(memoryview(frames.pack_load(sys.argv[3], 0, ["x"], ["y"])), [])
print(*sorted(set(sys.modules) - before))
"""


def test_a_function_holds_these_modules_and_no_others(reference: Callable[[str], Path]) -> None:
    """Counted after a graph is loaded, so that late imports count too."""
    command = [*BARE, LOADED, ROOT, str(engine_library()), str(reference("mlp"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    others = {name for name in done.stdout.split() if not name.startswith("mopar.runtime")}
    assert others - {"mopar"} <= MODULES


@pytest.fixture
def worker(reference: Callable[[str], Path]) -> Iterator[WorkerProcess]:
    graph = GraphFile(reference("mlp"), EngineOptions(), ("x",), ("y",))
    with WorkerProcess(WorkerSpec("f0", (graph,))) as process:
        yield process


def test_it_ends_when_its_gateway_closes_while_it_is_idle(worker: WorkerProcess) -> None:
    worker.load(PATIENCE_S)
    worker.socket.close()
    assert worker._process.wait(PATIENCE_S) == 0


def test_it_ends_when_its_gateway_closes_while_it_loads(worker: WorkerProcess) -> None:
    """It has frames to read and responses to send, which have no receiver."""
    (graph,) = worker.spec.graphs
    worker.socket.send(frames.pack_init(str(engine_library()), 1))
    for _ in range(5):
        worker.socket.send(frames.pack_load(str(graph.path), 0, list(graph.inputs), list(graph.outputs)))
    worker.socket.close()
    assert worker._process.wait(PATIENCE_S) == 0


def test_it_ends_when_its_gateway_closes_before_it_is_up(worker: WorkerProcess) -> None:
    worker.socket.close()
    assert worker._process.wait(PATIENCE_S) == 0


def test_a_second_worker_does_not_keep_the_first_alive(worker: WorkerProcess) -> None:
    """It would if it inherited the gateway's end of the first one's socket."""
    with WorkerProcess(worker.spec):
        worker.load(PATIENCE_S)
        worker.socket.close()
        assert worker._process.wait(PATIENCE_S) == 0


def test_calls_at_the_same_places_read_what_is_there_now(worker: WorkerProcess) -> None:
    """With places that repeat soon, and with so many that the first bindings were dropped in between."""
    worker.load(PATIENCE_S)
    arena = Arena()
    places = [(arena.place(1, (1, 16), 64), arena.place(1, (1, 8), 32)) for _ in range(40)]
    for segment in arena.segments:
        worker.attach(segment)
    found = []
    for value in (1.0, 2.0):
        for given, made in (*places, *places[-2:]):
            arena.view(given)[:] = np.full(16, value, np.float32).tobytes()
            worker.ask(frames.pack_run(0, [given], [made]), PATIENCE_S)
            found.append(bytes(arena.view(made)))
            arena.view(made)[:] = bytes(32)
    half = len(found) // 2
    assert len(set(found[:half])) == len(set(found[half:])) == 1
    assert found[0] != found[-1]
    arena.close()


def test_what_waits_to_be_fetched_outlives_segments_of_other_requests(worker: WorkerProcess) -> None:
    """The gateway drops other requests' segments to make room for an output, and says so before it fetches."""
    worker.load(PATIENCE_S)
    arena, other = Arena(), Arena()
    given, fetched = arena.place(1, (1, 16), 64), arena.place(1, (1, 8), 32)
    other.place(1, (1, 16), 64)
    for segment in (*arena.segments, *other.segments):
        worker.attach(segment)
    arena.view(given)[:] = np.ones(16, np.float32).tobytes()
    worker.ask(frames.pack_run(0, [given], [frames.TensorRef(1, (), frames.NOWHERE, 0, 0)]), PATIENCE_S)
    worker.detach(other.segments[0].number)
    worker.ask(frames.pack_fetch([fetched]), PATIENCE_S)
    assert np.frombuffer(arena.view(fetched), np.float32).any()
    arena.close()
    other.close()


@pytest.mark.parametrize("rows", [1, 2])
def test_a_call_is_passed_on_where_its_output_is_as_foreseen(worker: WorkerProcess, rows: int) -> None:
    """It has one row. Otherwise what follows would read a place that nothing was written to."""
    worker.load(PATIENCE_S)
    arena = Arena()
    given, made, abort = arena.place(1, (1, 16), 64), arena.place(1, (rows, 8), 32 * rows), arena.place(2, (1,), 1)
    worker.attach(arena.segments[0])
    arena.view(given)[:] = np.ones(16, np.float32).tobytes()
    made.foreseen = True
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        socket.send_fds(worker.socket, [frames.pack_number(frames.PEER, 4)], [theirs.fileno()])
        run = frames.pack_run(0, [given], [made])
        done = worker.ask(frames.pack_chain(run, 4, b"next", abort.segment, abort.offset), PATIENCE_S)
        fits = rows == 1
        assert (frames.was_passed(done), frames.misfits(done), any(arena.view(made))) == (fits, not fits, fits)
        if fits:
            assert ours.recv(9) == b"next"
        else:
            with pytest.raises(BlockingIOError):
                ours.recv(9)
    arena.close()


def test_a_peer_takes_the_place_of_the_one_that_had_its_number(worker: WorkerProcess) -> None:
    """As after each death of a function that others pass on to: no descriptor is left of the one before."""
    worker.load(PATIENCE_S)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for _ in range(3):
            socket.send_fds(worker.socket, [frames.pack_number(frames.PEER, 4)], [ours.fileno()])
        pong = worker.ask(frames.pack_number(frames.PING, 7), PATIENCE_S)
        assert (frames.kind_of(pong), frames.number_of(pong)) == (frames.PONG, 7)
        links = [link.readlink().as_posix() for link in Path(f"/proc/{worker.pid}/fd").iterdir()]
        assert sum(link.startswith("socket:") for link in links) == 2


def test_frames_that_make_no_sense_are_answered(worker: WorkerProcess) -> None:
    """The next ones are answered too."""
    worker.load(PATIENCE_S)
    with pytest.raises(EngineError, match="does not take frames of kind 3"):
        worker.ask(frames.pack_ready(), PATIENCE_S)
    with pytest.raises(EngineError, match="nothing to fetch"):
        worker.ask(frames.pack_fetch([]), PATIENCE_S)
    assert frames.kind_of(worker.ask(frames.pack_init(str(engine_library()), 1), PATIENCE_S)) == frames.READY


def test_it_sees_nothing_of_its_gateway(worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment, which may have secrets, nor descriptors other than its socket and the standard ones."""
    monkeypatch.setenv("MOPAR_TEST_SECRET", "1")
    worker.load(PATIENCE_S)
    home = Path(f"/proc/{worker.pid}")
    assert b"MOPAR_TEST_SECRET" not in (home / "environ").read_bytes()
    beyond = [link.readlink().as_posix() for link in (home / "fd").iterdir() if int(link.name) > 2]
    assert [link.partition(":")[0] for link in beyond] == ["socket"]


def test_it_gains_no_privileges_and_opens_few_files(worker: WorkerProcess) -> None:
    worker.load(PATIENCE_S)
    home = Path(f"/proc/{worker.pid}")
    assert "NoNewPrivs:\t1" in (home / "status").read_text()
    (limit,) = (line for line in (home / "limits").read_text().splitlines() if line.startswith("Max open files"))
    assert limit.split()[3:5] == ["256", "256"]
