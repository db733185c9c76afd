"""Calls that functions pass on to each other are computed correctly, whatever worker dies, fails, or client leaves."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import uvloop
from onnx import TensorProto

from mopar.bundle import Bundle
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.executor import Executor
from mopar.measurement.single import chain_bundle
from mopar.platforms import function_process
from mopar.platforms.local import LocalDeployment, places
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.chain import Chain
from mopar.types import DeploymentError, EngineOptions, OutOfMemoryError, RequestError, TensorSpec
from tests.bundle.plans import built
from tests.gateway.test_executor import PATIENCE_S, Served, failure, serving, until
from tests.graph.composed import assert_equal, run_file
from tests.models.builder import Builder
from tests.platforms.local import graphs
from tests.platforms.local.leftovers import is_dead

pytestmark = pytest.mark.usefixtures("nothing_left")

ROWS, WIDTH, FUNCTIONS = 5, 16, 4
NAMES = tuple(f"f{place}" for place in range(FUNCTIONS))
MIB = 1 << 20

STOPPING = """
import os, signal, sys
sys.path.insert(0, sys.argv.pop(1))
from {{}} import main
from mopar.runtime.worker import Worker
pass_on = Worker._pass_on
def passed_and_stopped(*following):
    passed = pass_on(*following)
    if os.path.exists("{folder}/%d" % os.getpid()):
        os.kill(os.getpid(), signal.SIGSTOP)
    return passed
Worker._pass_on = passed_and_stopped
main()
"""

GATEWAY = """
import asyncio, sys, time
from pathlib import Path
import numpy as np
from mopar.bundle import open_bundle
from tests.gateway.test_chains import sample
from tests.gateway.test_executor import serving

async def main():
    async with serving(open_bundle(Path(sys.argv[1]))) as served:
        await served.ask(sample(0))
        await served.ask(sample(1))
        print(*(function.pid for function in served.functions.values()), flush=True)
        time.sleep(1000)

asyncio.run(main())
"""


def write(path: Path) -> Path:
    """Four products of matrices; the second also adds a row that may not exist, and the last what the first made."""
    g = Builder("chain")
    x, row = g.input("x", [ROWS, WIDTH]), g.input("row", [1], TensorProto.INT64)
    first = g.add("MatMul", x, g.weight(WIDTH, WIDTH))
    second = g.add("Add", g.add("MatMul", first, g.weight(WIDTH, WIDTH)), g.add("Gather", first, row))
    third = g.add("MatMul", second, g.weight(WIDTH, WIDTH))
    g.add("Add", g.add("MatMul", third, g.weight(WIDTH, WIDTH)), first, output="y")
    g.output("y", [ROWS, WIDTH])
    g.save(path)
    return path


def sample(seed: int, row: int = 0) -> dict[str, Array]:
    x = np.random.default_rng(seed).standard_normal((ROWS, WIDTH)).astype(np.float32)
    return {"x": x, "row": np.array([row])}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "chain.onnx")


@pytest.fixture
def bundle(model: Path, tmp_path: Path) -> Bundle:
    found = built(model, tmp_path / "bundle", FUNCTIONS)
    assert [call.function for call in found.manifest.calls] == list(NAMES)
    return found


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For each chain that a test runs, how many of its calls have ended in it."""
    found: list[int] = []
    run = Chain.run

    async def counted(chain: Chain, frame: bytes, peers: Sequence[int], arena: Arena) -> bool:
        try:
            return await run(chain, frame, peers, arena)
        finally:
            found.append(len(chain.times_ns))

    monkeypatch.setattr(Chain, "run", counted)
    return found


@pytest.fixture
def stop_after_passing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Served, str], int]:
    """Has a function's present worker stop itself when it has passed a call on, before it says so."""
    folder = tmp_path / "stopping"
    folder.mkdir()
    monkeypatch.setattr(function_process, "_BOOT", STOPPING.format(folder=folder))

    def mark(served: Served, name: str) -> int:
        pid = served.functions[name].pid
        assert pid is not None
        (folder / str(pid)).touch()
        return pid

    return mark


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def reached(served: Served, name: str) -> bool:
    """Whether a chain runs, and the functions before one, and no others, have ended."""
    free = {other for other, function in served.functions.items() if function.turns.free}
    return free == set(NAMES[: NAMES.index(name)])


def kill(served: Served, name: str) -> None:
    """SIGKILL a worker and wait until the kernel has ended it, before the gateway notices."""
    pid = served.functions[name].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def attempts_of(served: Served) -> list[tuple[str, int, bool]]:
    """Of the calls that ended: function, attempts, and whether its time is known."""
    return [(timing.function, timing.attempts, timing.compute_ns > 0) for timing in served.timings]


def pids_of(served: Served) -> list[int | None]:
    return [function.pid for function in served.functions.values()]


def test_functions_pass_a_chain_on(bundle: Bundle, model: Path, ran: list[int]) -> None:
    """The gateway gives it to the first; metrics count each call as if it had been sent by itself."""

    async def main() -> None:
        async with serving(bundle) as served:
            for seed in range(5):
                feeds = sample(seed, seed % ROWS)
                assert_equal(await served.ask(feeds), run_file(model, feeds), str(seed))
            assert ran == [FUNCTIONS] * 5
            assert attempts_of(served) == [(name, 1, True) for name in NAMES] * 5
            assert all(timing.held_ns >= timing.compute_ns for timing in served.timings)

    uvloop.run(main())


def test_a_chain_that_is_too_long_for_a_frame_is_divided(
    bundle: Bundle, model: Path, ran: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MAX_FRAME", 300)

    async def main() -> None:
        async with serving(bundle) as served:
            for seed in range(3):
                assert_equal(await served.ask(sample(seed)), run_file(model, sample(seed)), str(seed))
            assert ran == [2, 2] * 3
            assert len(served.transport._arenas) == 1
            assert len(served.transport._arenas[0][0].segments) == 1

    uvloop.run(main())


def test_where_a_function_is_busy_calls_go_through_the_gateway(bundle: Bundle, model: Path, ran: list[int]) -> None:
    """The second request does not wait for the first one's whole chain."""

    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f3")
            first = asyncio.create_task(served.ask(sample(0)))
            await until(lambda: reached(served, "f3"))
            second = asyncio.create_task(served.ask(sample(1)))
            await until(lambda: served.waiting_for("f3") == 1)
            assert all(served.functions[name].turns.free for name in NAMES[:3])
            served.signal(signal.SIGCONT, "f3")
            assert_equal(await first, run_file(model, sample(0)), "first")
            assert_equal(await second, run_file(model, sample(1)), "second")
            assert ran == [FUNCTIONS]

    uvloop.run(main())


def test_a_worker_killed_before_it_passed_on_is_replaced_and_its_call_tried_again(
    bundle: Bundle, model: Path, ran: list[int]
) -> None:
    """The request after it goes through the new worker as a chain."""

    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f1")
            request = asyncio.create_task(served.ask(sample(0)))
            await until(lambda: reached(served, "f1"))
            served.signal(signal.SIGKILL, "f1")
            assert_equal(await request, run_file(model, sample(0)), "killed")
            assert attempts_of(served) == [("f0", 1, True), ("f1", 2, True), ("f2", 1, True), ("f3", 1, True)]
            await until(served.transport.ready)
            assert_equal(await served.ask(sample(1)), run_file(model, sample(1)), "after")
            assert (served.restarts, ran) == (["f1"], [1, 2, FUNCTIONS])

    uvloop.run(main())


def test_a_worker_killed_before_the_chain_reaches_it_is_not_passed_to(
    bundle: Bundle, model: Path, ran: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before tells the gateway, which goes on from there with the new worker, at the same places."""
    used: list[int] = []
    reset = Arena.reset

    def noted(arena: Arena) -> None:
        used.append(arena._used)
        reset(arena)

    monkeypatch.setattr(Arena, "reset", noted)

    async def main() -> None:
        async with serving(bundle) as served:
            await served.ask(sample(0))
            served.signal(signal.SIGSTOP, "f0")
            request = asyncio.create_task(served.ask(sample(1)))
            await until(lambda: reached(served, "f0"))
            kill(served, "f2")
            await until(lambda: served.restarts == ["f2"])
            served.signal(signal.SIGCONT, "f0")
            assert_equal(await request, run_file(model, sample(1)), "killed")
            assert attempts_of(served) == [(name, 1, True) for name in NAMES] * 2
            assert (served.restarts, ran) == (["f2"], [FUNCTIONS, 2])
            assert used[0] == used[1]

    uvloop.run(main())


@pytest.mark.parametrize("name", NAMES)
def test_a_worker_killed_while_idle_costs_the_next_request_nothing_but_time(
    bundle: Bundle, model: Path, name: str
) -> None:
    """Whether the gateway notices the death before the chain begins or after."""

    async def main() -> None:
        async with serving(bundle) as served:
            await served.ask(sample(0))
            kill(served, name)
            assert_equal(await served.ask(sample(1)), run_file(model, sample(1)), "after")
            assert served.restarts == [name]

    uvloop.run(main())


def test_a_worker_killed_after_it_passed_on_is_not_run_again(
    bundle: Bundle, model: Path, ran: list[int], stop_after_passing: Callable[[Served, str], int]
) -> None:
    """It had not told the gateway. The next one has the frame and says so by answering that, though only later."""

    async def main() -> None:
        async with serving(bundle) as served:
            pid = stop_after_passing(served, "f1")
            served.signal(signal.SIGSTOP, "f2")
            request = asyncio.create_task(served.ask(sample(0)))
            await until(lambda: is_stopped(pid))
            served.signal(signal.SIGKILL, "f1")
            await until(lambda: served.restarts == ["f1"])
            served.signal(signal.SIGCONT, "f2")
            assert_equal(await request, run_file(model, sample(0)), "killed")
            assert attempts_of(served) == [("f0", 1, True), ("f1", 1, False), ("f2", 1, True), ("f3", 1, True)]
            await until(served.transport.ready)
            assert_equal(await served.ask(sample(1)), run_file(model, sample(1)), "after")
            assert ran == [FUNCTIONS, FUNCTIONS]

    uvloop.run(main())


def test_two_workers_killed_with_a_call_passed_between_them_both_run_again(
    bundle: Bundle, model: Path, stop_after_passing: Callable[[Served, str], int]
) -> None:
    async def main() -> None:
        async with serving(bundle) as served:
            pid = stop_after_passing(served, "f1")
            served.signal(signal.SIGSTOP, "f2")
            request = asyncio.create_task(served.ask(sample(0)))
            await until(lambda: is_stopped(pid))
            served.signal(signal.SIGKILL, "f1", "f2")
            assert_equal(await request, run_file(model, sample(0)), "killed")
            assert sorted(served.restarts) == ["f1", "f2"]
            assert attempts_of(served) == [("f0", 1, True), ("f1", 2, True), ("f2", 1, True), ("f3", 1, True)]

    uvloop.run(main())


def test_what_the_engine_refuses_is_not_passed_on(bundle: Bundle, model: Path) -> None:
    """All workers survive."""

    async def main() -> None:
        async with serving(bundle) as served:
            pids = pids_of(served)
            with pytest.raises(RequestError, match=r"the model refused these inputs: .*out of data bounds"):
                await served.ask(sample(0, ROWS + 7))
            assert attempts_of(served) == [("f0", 1, True)]
            assert_equal(await served.ask(sample(1)), run_file(model, sample(1)), "after")
            assert pids_of(served) == pids

    uvloop.run(main())


def test_at_the_deadline_only_the_worker_that_has_the_call_is_replaced(bundle: Bundle, model: Path) -> None:
    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f1")
            with pytest.raises(DeploymentError, match="function f1 did not answer before the deadline"):
                await served.ask(sample(0), deadline_s=0.2)
            assert served.restarts == ["f1"]
            assert_equal(await served.ask(sample(1)), run_file(model, sample(1)), "after")

    uvloop.run(main())


def test_what_was_passed_on_by_a_worker_that_is_replaced_at_the_deadline_ends_too(
    bundle: Bundle, model: Path, stop_after_passing: Callable[[Served, str], int]
) -> None:
    """Otherwise it would write into the memory of a later request."""

    async def main() -> None:
        async with serving(bundle) as served:
            stop_after_passing(served, "f1")
            served.signal(signal.SIGSTOP, "f2")
            with pytest.raises(DeploymentError, match="function f1 did not answer before the deadline"):
                await served.ask(sample(0), deadline_s=0.2)
            assert served.restarts == ["f1", "f2"]
            assert_equal(await served.ask(sample(1)), run_file(model, sample(1)), "after")

    uvloop.run(main())


def test_who_leaves_ends_the_chain_with_the_call_that_runs(bundle: Bundle, model: Path) -> None:
    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f1")
            left = asyncio.create_task(served.ask(sample(0)))
            await until(lambda: reached(served, "f1"))
            left.cancel()
            assert isinstance(await failure(left), asyncio.CancelledError)
            assert served.transport._arenas == []
            served.signal(signal.SIGCONT, "f1")
            await until(lambda: not served.executor._stragglers)
            assert attempts_of(served) == [("f0", 1, True), ("f1", 1, True)]
            assert_equal(await served.ask(sample(1)), run_file(model, sample(1)), "after")
            assert (len(served.transport._arenas), served.restarts) == (1, [])

    uvloop.run(main())


def test_a_chain_that_is_cancelled_leaves_no_worker_in_it(bundle: Bundle, model: Path) -> None:
    """As at the end of the event loop: nobody would wait for what may have been passed on."""

    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f1")
            values = {name: from_array(name, array) for name, array in sample(0).items()}
            request = served.transport.open(values, MIB)
            (unit,) = served.executor._schedule.awaited
            running = asyncio.create_task(request.run_chain(unit.chains[0], (), time.monotonic() + PATIENCE_S))
            await until(lambda: reached(served, "f1"))
            running.cancel()
            assert isinstance(await failure(running), asyncio.CancelledError)
            request.close()
            assert served.restarts == ["f1", "f2", "f3"]
            assert all(function.turns.free for function in served.functions.values())
            assert_equal(await served.ask(sample(1)), run_file(model, sample(1)), "after")

    uvloop.run(main())


def test_requests_at_once_are_all_answered_right_while_workers_are_killed(bundle: Bundle, model: Path) -> None:
    """Each with different inputs; every function dies some time, in whatever call it has."""
    count, every = 240, 20

    async def main() -> None:
        turns, answered = asyncio.Semaphore(4), 0
        async with serving(bundle) as served:

            async def one(seed: int) -> None:
                nonlocal answered
                feeds = sample(seed, seed % ROWS)
                async with turns:
                    got = await served.ask(feeds)
                answered += 1
                name = NAMES[answered // every % FUNCTIONS]
                if answered % every == 0 and served.functions[name].ready():
                    served.signal(signal.SIGKILL, name)
                assert_equal(got, run_file(model, feeds), str(seed))

            await asyncio.gather(*(one(seed) for seed in range(count)))
            assert set(served.restarts) == set(NAMES)
            assert len(served.timings) == FUNCTIONS * count

    uvloop.run(main())


def test_a_gateway_that_is_killed_leaves_no_worker(bundle: Bundle) -> None:
    """Each holds a duplicate of the gateway's end of the next one's socket, so they end one after the other."""
    gateway = subprocess.Popen(
        [sys.executable, "-c", GATEWAY, str(bundle.root)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert gateway.stdout is not None
    with gateway:
        workers = [int(pid) for pid in gateway.stdout.readline().split()]
        gateway.kill()
    try:
        assert len(workers) == FUNCTIONS
        deadline = time.monotonic() + PATIENCE_S
        while not all(map(is_dead, workers)):
            assert time.monotonic() < deadline, "a worker outlives its gateway"
            time.sleep(0.01)
    finally:
        for pid in workers:
            if not is_dead(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.cgroup
def test_a_call_of_a_chain_that_needs_too_much_memory_is_named_and_not_tried_again(tmp_path: Path) -> None:
    files = [tmp_path / f"g{place}.onnx" for place in range(3)]
    graphs.repeat(files[0], "n", "m", "int64", (1,))
    graphs.allocate(files[1], "m", "s")
    graphs.repeat(files[2], "s", "y", "float32", ())
    specs = [TensorSpec(name, "int64", (1,)) for name in ("n", "m")]
    specs += [TensorSpec(name, "float32", ()) for name in ("s", "y")]
    bundle = chain_bundle(
        "hungry",
        tuple((file,) for file in files),
        tuple((spec,) for spec in specs),
        EngineOptions(arena=False, memory_pattern=False),
        memory_mib=100,
    )

    async def ask(executor: Executor, count: int) -> float:
        async with executor.infer({"n": from_array("n", np.array([count]))}, None, PATIENCE_S) as answer:
            return float(to_array(answer.outputs[0]))

    async def main() -> None:
        restarts: list[str] = []
        async with LocalDeployment(bundle, on_restart=restarts.append) as deployment:
            executors = [Executor(bundle.manifest, deployment.transport()) for _ in range(2)]  # one refuses for a while
            with pytest.raises(OutOfMemoryError, match=r"f1 ran out of memory at its limit of 100 MiB .*not tried"):
                await ask(executors[0], 200 * MIB // 4)
            assert restarts == ["f1"]
            assert await ask(executors[1], 1000) == 1000.0
            for executor in executors:
                await executor.close()

    uvloop.run(main())
