"""A function works whatever happens to its worker, and leaves nothing behind."""

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

from mopar.gateway.arrays import Array
from mopar.limits import Cgroup, Cgroups, detect_cgroups
from mopar.platforms.local import Arena, CallResult, LocalFunction, WorkerSpec, supervisor
from mopar.runtime.frames import DONE, NOWHERE, TensorRef, kind_of, pack_fetch, pack_run
from mopar.types import (
    DeploymentError,
    EngineError,
    OutOfMemoryError,
    OverloadedError,
    PlatformError,
    RequestError,
)
from tests.graph.composed import run_file
from tests.models import sample_inputs
from tests.platforms.local import graphs
from tests.platforms.local.leftovers import workers_of

pytestmark = pytest.mark.usefixtures("nothing_left")

PATIENCE_S = 20.0
MIB = 1 << 20


class Calls:
    """A function, and calls of its only graph with one input and one output, each in separate memory."""

    def __init__(self, function: LocalFunction, restarts: list[str]) -> None:
        self.function = function
        self.restarts = restarts
        self._arenas: list[Arena] = []

    def start(
        self, value: Array, code: int, shape: tuple[int, ...] | None = None, deadline_s: float = PATIENCE_S
    ) -> "asyncio.Task[tuple[CallResult, bytes]]":
        """Begin a call; ``shape`` is the output's if it is known in advance."""
        arena = Arena()
        self._arenas.append(arena)
        given = arena.place(7 if value.dtype == np.int64 else 1, value.shape, value.nbytes)
        arena.view(given)[:] = value.tobytes()
        place = (
            TensorRef(code, (), NOWHERE, 0, 0) if shape is None else arena.place(code, shape, 4 * int(np.prod(shape)))
        )
        return asyncio.create_task(self._run(given, place, arena, time.monotonic() + deadline_s))

    async def _run(self, given: TensorRef, place: TensorRef, arena: Arena, deadline: float) -> tuple[CallResult, bytes]:
        result = await self.function.call(pack_run(0, [given], [place]), arena, deadline)
        return result, bytes(arena.view(place if place.segment != NOWHERE else result.placed[0]))

    def close(self) -> None:
        for arena in self._arenas:
            arena.close()


@contextlib.asynccontextmanager
async def up(spec: WorkerSpec, make_cgroup: Callable[[], Cgroup] | None = None) -> AsyncIterator[Calls]:
    restarts: list[str] = []
    calls = Calls(LocalFunction(spec, make_cgroup, restarts.append, memory_mib=40), restarts)
    try:
        await calls.function.start()
        yield calls
    finally:
        await calls.function.close()
        calls.close()


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what it waits for is not ours to signal
            await asyncio.sleep(0)


def kill(calls: Calls) -> int:
    """SIGKILL the worker and wait until the kernel has ended it, before the function notices."""
    pid = calls.function.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def under_way(calls: Calls) -> bool:
    """Whether a call was sent to the worker and has not returned."""
    return calls.function._reply is not None


@pytest.fixture(scope="module")
def mlp(reference: Callable[[str], Path]) -> tuple[WorkerSpec, Array, bytes]:
    """A worker, an input, and its output."""
    path, feeds = reference("mlp"), sample_inputs("mlp")
    return graphs.spec(path, ("x",), ("y",)), feeds["x"], run_file(path, feeds)["y"].tobytes()


@pytest.fixture(scope="module")
def spin(tmp_path_factory: pytest.TempPathFactory) -> WorkerSpec:
    return graphs.spec(graphs.spin(tmp_path_factory.mktemp("spin") / "spin.onnx"), ("n",), ("y",))


@pytest.fixture(scope="module")
def allocate(tmp_path_factory: pytest.TempPathFactory) -> WorkerSpec:
    return graphs.spec(graphs.allocate(tmp_path_factory.mktemp("allocate") / "allocate.onnx"), ("n",), ("y",))


@pytest.fixture
def groups() -> Cgroups:
    found = detect_cgroups()
    assert found is not None  # the mark skips tests where there are none
    return found


def limited(groups: Cgroups, memory_bytes: int) -> Callable[[], Cgroup]:
    def make() -> Cgroup:
        group = groups.create("f0")
        group.limit(memory_bytes, None)
        return group

    return make


Mlp = tuple[WorkerSpec, Array, bytes]


@pytest.mark.parametrize("shape", [(1, 8), None])
def test_a_call_is_answered_in_place_or_wherever_there_is_room(mlp: Mlp, shape: tuple[int, ...] | None) -> None:
    async def main() -> None:
        async with up(mlp[0]) as calls:
            assert calls.function.ready()
            result, answer = await calls.start(mlp[1], 1, shape)
            np.testing.assert_allclose(np.frombuffer(answer, np.float32), np.frombuffer(mlp[2], np.float32), rtol=1e-5)
            assert [ref.shape for ref in result.placed] == ([] if shape else [(1, 8)])
            assert result.held_ns >= result.compute_ns > 0
            assert result.attempts == 1
        assert not calls.function.ready()

    uvloop.run(main())


def test_a_worker_killed_in_a_call_is_replaced_and_the_call_tried_again(mlp: Mlp) -> None:
    """It is stopped before the call, so that it dies with the call sent and not answered."""

    async def main() -> None:
        async with up(mlp[0]) as calls:
            assert calls.function.pid is not None
            os.kill(calls.function.pid, signal.SIGSTOP)
            call = calls.start(mlp[1], 1, (1, 8))
            await until(lambda: under_way(calls))
            first = kill(calls)
            result, answer = await call
            assert result.attempts == 2
            assert answer == (await calls.start(mlp[1], 1, (1, 8)))[1]
            assert calls.restarts == ["f0"]
            assert calls.function.pid != first

    uvloop.run(main())


def test_a_pong_that_comes_after_the_answer_is_not_the_next_one(mlp: Mlp) -> None:
    """The worker is asked whether it has a call while it has: it answers the call first."""

    async def main() -> None:
        async with up(mlp[0]) as calls:
            arena = Arena()
            frame = pack_run(0, [arena.place(1, mlp[1].shape, mlp[1].nbytes)], [arena.place(1, (1, 8), 32)])
            worker = calls.function.shared(arena)
            os.kill(worker.pid, signal.SIGSTOP)
            answer = calls.function.expect()
            calls.function.send(worker, frame)
            calls.function.ping(worker)
            os.kill(worker.pid, signal.SIGCONT)
            assert kind_of(await answer) == DONE
            following = calls.function.expect()
            await asyncio.sleep(0.1)
            assert not following.done()
            calls.function.send(worker, frame)
            assert kind_of(await following) == DONE
            arena.close()

    uvloop.run(main())


def test_a_worker_killed_twice_in_a_call_fails_it_by_name(spin: WorkerSpec) -> None:
    """And the next call succeeds."""

    async def main() -> None:
        async with up(spin) as calls:
            call = calls.start(np.array(graphs.FOREVER), 7)
            await until(lambda: under_way(calls))
            first = kill(calls)
            await until(lambda: under_way(calls) and calls.function.pid not in {None, first})
            kill(calls)
            with pytest.raises(DeploymentError, match=r"function f0 was killed .* twice in one request"):
                await call
            assert np.frombuffer((await calls.start(np.array(3), 7))[1], np.int64).tolist() == [3]
            assert calls.restarts == ["f0", "f0"]

    uvloop.run(main())


@pytest.mark.parametrize("noticed", [True, False])
def test_a_worker_killed_while_idle_costs_the_next_call_nothing_but_time(mlp: Mlp, noticed: bool) -> None:
    """Whether the call comes before or after the function has noticed the death."""

    async def main() -> None:
        async with up(mlp[0]) as calls:
            _, want = await calls.start(mlp[1], 1, (1, 8))
            kill(calls)
            if noticed:
                await until(lambda: not calls.function.ready())
            assert (await calls.start(mlp[1], 1, (1, 8)))[1] == want
            assert calls.restarts == ["f0"]

    uvloop.run(main())


def test_what_the_worker_fails_at_is_no_fault_of_the_request(mlp: Mlp) -> None:
    async def main() -> None:
        async with up(mlp[0]) as calls:
            with pytest.raises(DeploymentError, match="function f0 failed: nothing to fetch"):
                await calls.function.call(pack_fetch([]), Arena(), time.monotonic() + PATIENCE_S)
            await calls.start(mlp[1], 1, (1, 8))

    uvloop.run(main())


def test_memory_that_the_engine_cannot_have_is_no_fault_of_the_request(allocate: WorkerSpec) -> None:
    async def main() -> None:
        async with up(allocate) as calls:
            with pytest.raises(DeploymentError, match=r"function f0 failed: .*(allocate memory|bad_alloc)"):
                await calls.start(np.array([1 << 44]), 1, ())
            assert np.frombuffer((await calls.start(np.array([3]), 1, ()))[1], np.float32).tolist() == [3]

    uvloop.run(main())


def test_a_call_that_is_not_answered_in_time_fails_and_the_next_one_works(spin: WorkerSpec) -> None:
    """A run cannot be interrupted, so its worker is killed."""

    async def main() -> None:
        async with up(spin) as calls:
            first = calls.function.pid
            with pytest.raises(DeploymentError, match="function f0 did not answer before the deadline"):
                await calls.start(np.array(graphs.FOREVER), 7, deadline_s=0.05)
            assert np.frombuffer((await calls.start(np.array(5), 7))[1], np.int64).tolist() == [5]
            assert calls.function.pid != first
            assert calls.restarts == ["f0"]

    uvloop.run(main())


def test_a_call_waits_for_its_turn_until_its_deadline(spin: WorkerSpec) -> None:
    async def main() -> None:
        async with up(spin) as calls:
            running = calls.start(np.array(graphs.FOREVER), 7, deadline_s=PATIENCE_S)
            await until(lambda: under_way(calls))
            with pytest.raises(OverloadedError, match="function f0 was busy until the deadline"):
                await calls.start(np.array(1), 7, deadline_s=0.05)
            kill(calls)
            running.cancel()

    uvloop.run(main())


def test_a_call_that_comes_between_two_others_waits_no_longer(spin: WorkerSpec) -> None:
    """No call runs, but another one is already next in the queue."""

    async def main() -> None:
        async with up(spin) as calls:
            async with calls.function.turns.take(time.monotonic() + PATIENCE_S):
                following = calls.start(np.array(graphs.FOREVER), 7)
                await until(lambda: calls.function.turns.waiting == 1)
                between = calls.start(np.array(1), 7, deadline_s=0.05)
            with pytest.raises(OverloadedError, match="function f0 was busy until the deadline"):
                await between
            assert under_way(calls)
            following.cancel()

    uvloop.run(main())


def test_a_function_that_cannot_come_back_says_why(mlp: Mlp, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "gone.onnx"
        path.write_bytes(mlp[0].graphs[0].path.read_bytes())
        async with up(graphs.spec(path, ("x",), ("y",))) as calls:
            path.unlink()
            kill(calls)
            await until(lambda: "again" in calls.function._why_down)
            with pytest.raises(OverloadedError, match=r"f0 cannot be started again: .*gone\.onnx"):
                await calls.start(mlp[1], 1, deadline_s=0.05)

    uvloop.run(main())


def test_inputs_that_the_graph_refuses_are_the_callers_mistake(mlp: Mlp) -> None:
    """The worker survives."""

    async def main() -> None:
        async with up(mlp[0]) as calls:
            pid = calls.function.pid
            with pytest.raises(RequestError, match=r"refused these inputs: .*Expected: 16"):
                await calls.start(np.zeros((1, 9), np.float32), 1)
            await calls.start(mlp[1], 1, (1, 8))
            assert calls.function.pid == pid

    uvloop.run(main())


def test_a_graph_that_the_engine_refuses_leaves_nothing_running(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"no model")

    async def main() -> None:
        with pytest.raises(EngineError, match=r"function f0: .*bad\.onnx"):
            async with up(graphs.spec(path, ("x",), ("y",))):
                pass
        assert workers_of(os.getpid()) == set()

    uvloop.run(main())


@pytest.mark.parametrize("moment", ["idle", "in a call", "while it comes back"])
def test_closing_fails_what_waits_at_once_and_starts_nothing(spin: WorkerSpec, moment: str) -> None:
    async def main() -> None:
        async with up(spin) as calls:
            running = calls.start(np.array(graphs.FOREVER), 7)
            await until(lambda: under_way(calls))
            waiting = calls.start(np.array(1), 7)
            if moment == "while it comes back":
                kill(calls)
                await until(lambda: calls.function.pid is not None and not calls.function.ready())
            if moment == "idle":
                running.cancel()
                waiting.cancel()
                await asyncio.wait([running, waiting])
            await calls.function.close()
            assert workers_of(os.getpid()) == set()
            for call in (running, waiting) if moment != "idle" else ():
                with pytest.raises(DeploymentError, match="function f0 was stopped"):
                    await call
            with pytest.raises(DeploymentError, match="function f0 was stopped"):
                await calls.start(np.array(1), 7)

    uvloop.run(main())


@pytest.mark.cgroup
def test_a_limit_too_small_to_start_in_is_named(mlp: Mlp, groups: Cgroups) -> None:
    async def main() -> None:
        with pytest.raises(PlatformError, match="function f0 ran out of memory at its limit of 40 MiB"):
            async with up(mlp[0], limited(groups, 4 * MIB)):
                pass

    uvloop.run(main())


@pytest.mark.cgroup
def test_a_load_that_takes_for_ever_names_the_limit(mlp: Mlp, groups: Cgroups, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that barely fits reclaims memory endlessly, and is not killed for lack of it."""
    monkeypatch.setattr(LocalFunction, "load_s", 0.001)

    async def main() -> None:
        with pytest.raises(PlatformError, match=r"f0 did not load within 0\.001 s: its limit of 40 MiB is too small"):
            async with up(mlp[0], limited(groups, 100 * MIB)):
                pass

    uvloop.run(main())


@pytest.mark.cgroup
def test_a_call_that_needs_too_much_memory_is_named_and_the_next_one_works(
    allocate: WorkerSpec, groups: Cgroups
) -> None:
    async def main() -> None:
        async with up(allocate, limited(groups, 100 * MIB)) as calls:
            with pytest.raises(OutOfMemoryError, match=r"f0 ran out of memory at its limit of 40 MiB .*not tried"):
                await calls.start(np.array([200 * MIB // 4]), 1)
            assert calls.restarts == ["f0"]
            _, answer = await calls.start(np.array([1000]), 1)
            assert np.frombuffer(answer, np.float32).tolist() == [1000.0]

    uvloop.run(main())


class _Unreadable:
    """A cgroup whose files cannot be opened any more, as when descriptors are exhausted."""

    def oom_kills(self) -> int:
        raise PlatformError("cgroup: cannot read memory.events: Too many open files")

    def remove(self) -> None:
        raise PlatformError("cgroup: cannot remove")


def test_a_death_is_torn_down_once_where_nothing_can_be_opened(mlp: Mlp, caplog: pytest.LogCaptureFixture) -> None:
    """An error while reading the exit reason must not leave the worker's socket readable forever."""

    async def main() -> None:
        async with up(mlp[0]) as calls:
            calls.function._cgroup = _Unreadable()  # type: ignore[assignment]
            first = kill(calls)
            _, answer = await calls.start(mlp[1], 1, (1, 8))
            np.testing.assert_allclose(np.frombuffer(answer, np.float32), np.frombuffer(mlp[2], np.float32), rtol=1e-5)
            assert calls.restarts == ["f0"]
            assert calls.function.pid != first

    uvloop.run(main())
    assert not caplog.records


@pytest.mark.cgroup
def test_memory_that_the_gateway_allocates_is_not_charged_to_the_function(
    allocate: WorkerSpec, groups: Cgroups
) -> None:
    """A segment far above the limit, shared with it."""

    async def main() -> None:
        arena = Arena()
        try:
            async with up(allocate, limited(groups, 100 * MIB)) as calls:
                given = arena.place(7, (1,), 8)
                arena.view(given)[:] = np.array([10]).tobytes()
                arena.place(1, (0,), 200 * MIB)
                made = TensorRef(1, (), NOWHERE, 0, 0)
                result = await calls.function.call(pack_run(0, [given], [made]), arena, time.monotonic() + PATIENCE_S)
                assert result.attempts == 1
        finally:
            arena.close()

    uvloop.run(main())
