"""A function behind its HTTP server works whatever happens to its process, and leaves nothing behind."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import uvloop

from mopar.bundle.call_plans import CallPlan
from mopar.gateway.arrays import Array, from_array
from mopar.limits import Cgroup, Cgroups
from mopar.platforms.base import CallTiming
from mopar.platforms.http import HttpTransport
from mopar.platforms.local import GraphFile, WorkerSpec
from mopar.platforms.local.door import DoorSpec, HttpFunction
from mopar.types import (
    REQUEST,
    Call,
    CallInput,
    DeploymentError,
    EngineError,
    EngineOptions,
    GraphEntry,
    OutOfMemoryError,
    OverloadedError,
    PlatformError,
    RequestError,
    Source,
    TensorSpec,
)
from tests.platforms.local import graphs
from tests.platforms.local.leftovers import workers_of
from tests.platforms.local.test_function import groups, limited, until

__all__ = ["groups"]

pytestmark = pytest.mark.usefixtures("nothing_left")

PATIENCE_S = 20.0
MIB = 1 << 20


class Calls:
    """A function with one graph ``n`` -> ``y``, and calls of it."""

    def __init__(self, function: HttpFunction, transport: HttpTransport, plan: CallPlan, restarts: list[str]) -> None:
        self.function = function
        self.transport = transport
        self.restarts = restarts
        self._plan = plan

    def start(self, value: Array, deadline_s: float = PATIENCE_S) -> "asyncio.Task[tuple[bytes, CallTiming]]":
        return asyncio.create_task(self._run(value, time.monotonic() + deadline_s))

    async def ask(self, value: Array) -> float:
        data, _ = await self.start(value)
        dtype = np.int64 if self._plan.graph.outputs[0].dtype == "int64" else np.float32
        return float(np.frombuffer(data, dtype)[0])

    async def _run(self, value: Array, deadline: float) -> tuple[bytes, CallTiming]:
        request = self.transport.open({"n": from_array("n", value)}, 0)
        try:
            await request.run(self._plan, (), deadline)
            spec = self._plan.graph.outputs[0]
            return bytes(request.value("y", spec.dtype, ("y", "c0")).data), request.timings[0]
        finally:
            request.close()

    async def begin(self, value: Array, deadline_s: float = PATIENCE_S) -> "asyncio.Task[tuple[bytes, CallTiming]]":
        """Begin a call and wait until it has been sent, on an earlier call's connection."""
        await self.ask(np.full_like(value, 1))
        call = self.start(value, deadline_s)
        await until(self.under_way)
        return call

    def under_way(self) -> bool:
        """Whether the kept connection is in use by a call."""
        return not self.transport._functions["f0"].replicas[0].connections.idle

    def cpu_ticks(self) -> int:
        """CPU time of the process in hundredths of a second."""
        return int(Path(f"/proc/{self.function.pid}/stat").read_text().rpartition(")")[2].split()[11])

    def signal(self, number: int) -> None:
        assert self.function.pid is not None
        os.kill(self.function.pid, number)


def door(path: Path, given: TensorSpec, made: TensorSpec, max_body_bytes: int = MIB) -> tuple[DoorSpec, CallPlan]:
    """A runner of a graph, and a call of it."""
    options = EngineOptions(arena=False, memory_pattern=False)
    entry = GraphEntry("g0", "f0", (given,), (made,), (), options, None)
    worker = WorkerSpec("f0", (GraphFile(path, options, ("n",), ("y",)),))
    call = Call("c0", "f0", "g0", (CallInput("n", (Source(REQUEST, "n"),)),), ("y",))
    plan = CallPlan(call, entry, 0, (("n", REQUEST),), (None,), ())
    return DoorSpec(worker, (entry,), max_body_bytes), plan


@contextlib.asynccontextmanager
async def up(what: tuple[DoorSpec, CallPlan], make_cgroup: Callable[[], Cgroup] | None = None) -> AsyncIterator[Calls]:
    restarts: list[str] = []
    function = HttpFunction(what[0], make_cgroup, restarts.append, memory_mib=40)
    try:
        await function.start()
        transport = HttpTransport({"f0": [function.url]}, watches={"f0": function})
        yield Calls(function, transport, what[1], restarts)
        await transport.close()
    finally:
        await function.close()


@pytest.fixture(scope="module")
def spin(tmp_path_factory: pytest.TempPathFactory) -> tuple[DoorSpec, CallPlan]:
    path = graphs.spin(tmp_path_factory.mktemp("spin") / "spin.onnx")
    return door(path, TensorSpec("n", "int64", ()), TensorSpec("y", "int64", ()))


@pytest.fixture(scope="module")
def allocate(tmp_path_factory: pytest.TempPathFactory) -> tuple[DoorSpec, CallPlan]:
    path = graphs.allocate(tmp_path_factory.mktemp("allocate") / "allocate.onnx")
    return door(path, TensorSpec("n", "int64", (1,)), TensorSpec("y", "float32", ()))


Spin = tuple[DoorSpec, CallPlan]


def test_a_process_killed_in_a_call_is_replaced_at_the_same_address_and_the_call_tried_again(spin: Spin) -> None:
    async def main() -> None:
        async with up(spin) as calls:
            await calls.ask(np.array(1))
            first, url = calls.function.pid, calls.function.url
            calls.signal(signal.SIGSTOP)
            call = calls.start(np.array(3))
            await until(calls.under_way)
            calls.signal(signal.SIGKILL)
            data, timing = await call
            assert (np.frombuffer(data, np.int64)[0], timing.attempts) == (3, 2)
            assert calls.restarts == ["f0"]
            assert calls.function.url == url
            assert calls.function.pid != first

    uvloop.run(main())


def test_a_process_killed_while_it_is_idle_costs_the_next_call_nothing_but_time(spin: Spin) -> None:
    async def main() -> None:
        async with up(spin) as calls:
            await calls.ask(np.array(1))
            calls.signal(signal.SIGKILL)
            await until(lambda: not calls.function.ready())
            data, timing = await calls.start(np.array(3))
            assert (np.frombuffer(data, np.int64)[0], timing.attempts) == (3, 1)

    uvloop.run(main())


def test_a_process_killed_twice_in_a_call_fails_it_by_name(spin: Spin) -> None:
    async def main() -> None:
        async with up(spin) as calls:
            call = await calls.begin(np.array(graphs.FOREVER))
            first = calls.function.pid
            calls.signal(signal.SIGKILL)
            await until(lambda: calls.function.pid not in {None, first} and calls.function.ready())
            loaded = calls.cpu_ticks()
            await until(lambda: calls.cpu_ticks() > loaded + 20)  # otherwise the next process would run it
            calls.signal(signal.SIGKILL)
            with pytest.raises(DeploymentError, match=r"function f0 was killed .* twice in one request"):
                await call
            assert await calls.ask(np.array(3)) == 3
            assert calls.restarts == ["f0", "f0"]

    uvloop.run(main())


def test_a_call_that_is_not_answered_in_time_fails_and_the_next_one_works(spin: Spin) -> None:
    """A run cannot be interrupted, so its process is killed."""

    async def main() -> None:
        async with up(spin) as calls:
            first = calls.function.pid
            call = await calls.begin(np.array(graphs.FOREVER), 0.1)
            with pytest.raises(
                DeploymentError, match=r"function f0 at http://\S+ it did not answer before the deadline"
            ):
                await call
            assert await calls.ask(np.array(5)) == 5
            assert calls.function.pid != first
            assert calls.restarts == ["f0"]

    uvloop.run(main())


def test_a_function_that_cannot_come_back_says_why(spin: Spin, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "gone.onnx"
        path.write_bytes(spin[0].worker.graphs[0].path.read_bytes())
        what = door(path, TensorSpec("n", "int64", ()), TensorSpec("y", "int64", ()))
        async with up(what) as calls:
            path.unlink()
            calls.signal(signal.SIGKILL)
            await until(lambda: "again" in calls.function._why_down)
            with pytest.raises(OverloadedError, match=r"f0 cannot be started again: .*gone\.onnx"):
                await calls.start(np.array(1), 0.05)

    uvloop.run(main())


def test_a_graph_that_the_engine_refuses_leaves_nothing_running(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"no model")

    async def main() -> None:
        with pytest.raises(EngineError, match=r"^function f0: (?!failed).*bad\.onnx"):
            async with up(door(path, TensorSpec("n", "int64", ()), TensorSpec("y", "int64", ()))):
                pass
        assert workers_of(os.getpid()) == set()

    uvloop.run(main())


@pytest.mark.parametrize("moment", ["idle", "in a call"])
def test_closing_fails_what_waits_at_once_and_starts_nothing(spin: Spin, moment: str) -> None:
    async def main() -> None:
        async with up(spin) as calls:
            call = await calls.begin(np.array(graphs.FOREVER if moment == "in a call" else 1))
            waiting = calls.start(np.array(1))
            if moment == "idle":
                await asyncio.wait([call, waiting])
            await calls.function.close()
            assert workers_of(os.getpid()) == set()
            for found in (call, waiting) if moment != "idle" else ():
                with pytest.raises(DeploymentError, match="function f0 was stopped"):
                    await found
            with pytest.raises(DeploymentError, match="function f0 was stopped"):
                await calls.start(np.array(1))

    uvloop.run(main())


def test_a_body_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = graphs.allocate(tmp_path / "allocate.onnx")
    what = door(path, TensorSpec("n", "int64", (None,)), TensorSpec("y", "float32", ()), max_body_bytes=1000)

    async def main() -> None:
        async with up(what) as calls:
            with pytest.raises(RequestError, match=r"a body of .* bytes is too large: the limit is 1000") as caught:
                await calls.start(np.zeros(1 << 20, np.int64))
            assert caught.value.status == 413
            assert await calls.ask(np.array([3])) == 3

    uvloop.run(main())


def test_memory_that_the_engine_cannot_have_is_no_fault_of_the_request(allocate: Spin) -> None:
    async def main() -> None:
        async with up(allocate) as calls:
            with pytest.raises(DeploymentError, match=r"function f0 at .*500: .*(allocate memory|bad_alloc)"):
                await calls.start(np.array([1 << 44]))
            assert await calls.ask(np.array([3])) == 3

    uvloop.run(main())


@pytest.mark.cgroup
def test_a_limit_too_small_to_start_in_is_named(spin: Spin, groups: Cgroups) -> None:
    async def main() -> None:
        with pytest.raises(PlatformError, match="function f0 ran out of memory at its limit of 40 MiB"):
            async with up(spin, limited(groups, 4 * MIB)):
                pass

    uvloop.run(main())


@pytest.mark.cgroup
def test_a_call_that_needs_too_much_memory_is_named_and_the_next_one_works(allocate: Spin, groups: Cgroups) -> None:
    async def main() -> None:
        async with up(allocate, limited(groups, 100 * MIB)) as calls:
            with pytest.raises(OutOfMemoryError, match=r"f0 ran out of memory at its limit of 40 MiB .*not tried"):
                await calls.start(np.array([200 * MIB // 4]))
            assert calls.restarts == ["f0"]
            assert await calls.ask(np.array([1000])) == 1000

    uvloop.run(main())
