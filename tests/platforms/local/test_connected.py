"""A function that somebody else restarts is called as one of our own, whatever happens to it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
import uvloop

from mopar.platforms.function_process import command_of
from mopar.platforms.local import Arena
from mopar.platforms.local.connected import ConnectedFunction
from mopar.runtime.environment import ENVIRONMENT
from mopar.runtime.frames import pack_run
from mopar.runtime.pinning import CORES
from mopar.runtime.report import FAILED, READY
from mopar.runtime.sequence import Step, pack_sequence
from mopar.types import (
    BundleError,
    DeploymentError,
    EngineOptions,
    FileEntry,
    GraphEntry,
    OverloadedError,
    PlatformError,
    TensorSpec,
)
from tests.platforms.local import graphs
from tests.platforms.local.test_function import until
from tests.runtime.http.doors import ROOT, config

pytestmark = pytest.mark.usefixtures("nothing_left")

PATIENCE_S = 20.0
DIGEST = "5f1c"


class Elsewhere:
    """A function's process that a test starts and restarts, as an engine would."""

    def __init__(self, config: Path, path: Path, **variables: str) -> None:
        self.path = path
        self._variables = ENVIRONMENT | variables
        self._command = [*command_of(sys.executable, ROOT, "mopar.runtime.listening"), str(config), str(path)]
        self.process = self.started()

    def started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, env=self._variables, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def restart(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it, start it again, and return the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = self.started()
        return status

    def close(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def spin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spin")
    path = config(folder, graphs.spin(folder / "spin.onnx"), {"n": "int64"}, {"y": "int64"})
    document = json.loads(path.read_text())
    document["graphs"][0]["digest"] = DIGEST
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def elsewhere(spin: Path, tmp_path: Path) -> Iterator[Elsewhere]:
    made = Elsewhere(spin, tmp_path / "f0.sock")
    try:
        yield made
    finally:
        made.close()


def entry(digest: str = DIGEST) -> GraphEntry:
    ports = tuple((TensorSpec(name, "int64", ()),) for name in "ny")
    files = (FileEntry("spin.onnx", 1, digest),)
    return GraphEntry("g0", "f0", ports[0], ports[1], files, EngineOptions(), None)


class Calls:
    """Calls of a connected function, and the restarts that it noticed."""

    def __init__(self, function: ConnectedFunction, restarts: list[str]) -> None:
        self.function, self.restarts = function, restarts
        self.arena = Arena()

    def start(self, count: int, deadline_s: float = PATIENCE_S) -> "asyncio.Task[int]":
        return asyncio.create_task(self._run(count, time.monotonic() + deadline_s))

    async def _run(self, count: int, deadline: float) -> int:
        given, made = (self.arena.place(7, (), 8) for _ in range(2))
        self.arena.view(given)[:] = np.int64(count).tobytes()
        await self.function.call(pack_run(0, [given], [made]), self.arena, deadline)
        return int(np.frombuffer(self.arena.view(made), np.int64)[0])

    def under_way(self) -> bool:
        return self.function._reply is not None


@contextlib.asynccontextmanager
async def connected(path: Path, graph: GraphEntry | None = None) -> AsyncIterator[Calls]:
    restarts: list[str] = []
    calls = Calls(ConnectedFunction("f0", path, [graph or entry()], restarts.append), restarts)
    try:
        await calls.function.start_within(PATIENCE_S)
        yield calls
    finally:
        await calls.function.close()
        calls.arena.close()


def test_calls_are_answered_by_gateways_that_come_and_go(elsewhere: Elsewhere) -> None:
    """Each has segments of the same numbers, of which the function must keep none."""

    async def main() -> None:
        for count in (3, 5):
            async with connected(elsewhere.path) as calls:
                assert await calls.start(count) == count
                assert await calls.start(count + 1) == count + 1

    uvloop.run(main())
    assert elsewhere.said() == READY
    until_deadline = time.monotonic() + PATIENCE_S
    while "memfd:" in Path(f"/proc/{elsewhere.process.pid}/maps").read_text():
        assert time.monotonic() < until_deadline, "it keeps memory of a gateway that has gone"


def test_a_second_gateway_waits_for_the_first_to_go(elsewhere: Elsewhere) -> None:
    async def second(done: asyncio.Event) -> None:
        async with connected(elsewhere.path) as calls:
            done.set()
            assert await calls.start(7) == 7

    async def main() -> None:
        connects = asyncio.Event()
        async with connected(elsewhere.path) as first:
            waiting = asyncio.create_task(second(connects))
            await first.start(1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connects.wait(), 0.1)
        await waiting

    uvloop.run(main())


def test_a_function_killed_in_a_call_is_found_again_and_the_call_repeated(elsewhere: Elsewhere) -> None:
    async def main() -> None:
        async with connected(elsewhere.path) as calls:
            os.kill(elsewhere.process.pid, signal.SIGSTOP)
            call = calls.start(3)
            await until(calls.under_way)
            elsewhere.restart()
            assert await call == 3
            assert calls.restarts == ["f0"]

    uvloop.run(main())


def test_sigterm_ends_a_function_once_its_call_is_answered(elsewhere: Elsewhere) -> None:
    async def main() -> None:
        async with connected(elsewhere.path) as calls:
            await calls.start(1)
            call = calls.start(2_000_000)
            await until(calls.under_way)
            assert await asyncio.to_thread(elsewhere.restart, signal.SIGTERM) == 0
            assert await call == 2_000_000
            assert await calls.start(4) == 4
        assert await asyncio.to_thread(elsewhere.restart, signal.SIGTERM) == 0

    uvloop.run(main())


def test_a_function_that_waits_for_its_sibling_notices_that_its_gateway_has_gone(elsewhere: Elsewhere) -> None:
    """It polls a flag that nobody sets, for a minute if it must."""

    async def main() -> None:
        async with connected(elsewhere.path) as calls:
            given, made = (calls.arena.place(7, (), 8) for _ in range(2))
            flags = calls.arena.place(2, (8,), 8)
            calls.arena.view(flags)[:] = bytes(8)
            step = Step(pack_run(0, [given], [made]), 1, (2,))
            deadline = time.monotonic() + 60.0
            frame = pack_sequence([step], flags.segment, flags.offset, int(deadline * 1e9))
            waiting = asyncio.create_task(calls.function.sequence(frame, calls.arena, deadline))
            await until(calls.under_way)
        with pytest.raises(DeploymentError, match="was stopped"):
            await waiting
        began = time.monotonic()
        async with connected(elsewhere.path) as calls:
            assert await calls.start(3) == 3
        assert time.monotonic() - began < PATIENCE_S

    uvloop.run(main())


def test_a_call_that_is_not_answered_in_time_fails_alone(elsewhere: Elsewhere) -> None:
    """Nobody can interrupt it; the function serves again when it has ended."""

    async def main() -> None:
        async with connected(elsewhere.path) as calls:
            os.kill(elsewhere.process.pid, signal.SIGSTOP)
            with pytest.raises(DeploymentError, match="f0 did not answer before the deadline"):
                await calls.start(1, 0.1)
            with pytest.raises(OverloadedError, match=r"f0 .*was not back in time"):
                await calls.start(1, 0.1)
            os.kill(elsewhere.process.pid, signal.SIGCONT)
            assert await calls.start(5) == 5

    uvloop.run(main())


def test_what_is_not_there_is_named_with_its_address(tmp_path: Path) -> None:
    async def main() -> None:
        function = ConnectedFunction("f0", tmp_path / "nobody.sock", [entry()], pytest.fail)
        with pytest.raises(PlatformError, match=r"function f0 at .*nobody\.sock was not ready within 0\.1 s"):
            await function.start_within(0.1)

    uvloop.run(main())


def test_a_function_of_another_bundle_is_refused(elsewhere: Elsewhere) -> None:
    async def main() -> None:
        with pytest.raises(BundleError, match=r"function f0 .* is of another bundle"):
            async with connected(elsewhere.path, entry("another")):
                pass

    uvloop.run(main())


def test_a_function_keeps_to_the_cores_that_its_environment_names(spin: Path, tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    made = Elsewhere(spin, tmp_path / "f0.sock", **{CORES: str(core)})
    try:
        assert made.said() == READY
        assert os.sched_getaffinity(made.process.pid) == {core}
    finally:
        made.close()


def test_a_function_that_cannot_load_says_why(spin: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    document = json.loads(spin.read_text())
    document["graphs"][0]["path"] = str(tmp_path / "absent.onnx")
    bad.write_text(json.dumps(document))
    made = Elsewhere(bad, tmp_path / "f0.sock")
    try:
        said = made.said()
        assert said.startswith(FAILED)
        assert "absent.onnx" in said
        assert made.process.wait(PATIENCE_S) == 1
    finally:
        made.close()
