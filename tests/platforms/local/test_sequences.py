"""A function runs a sequence of calls that it received at once, each after flags that, here, the test sets."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import uvloop

from mopar.gateway.arrays import Array
from mopar.platforms.local import Arena, LocalFunction, SequenceResult, WorkerSpec
from mopar.runtime.frames import TensorRef, pack_run
from mopar.runtime.sequence import ABORT, ENDED, STOPPED, Step, pack_sequence
from mopar.types import DeploymentError, RequestError
from tests.graph.composed import run_file
from tests.models import sample_inputs
from tests.platforms.local import graphs
from tests.platforms.local.test_function import Calls, kill, under_way, until, up

pytestmark = pytest.mark.usefixtures("nothing_left")

PATIENCE_S = 20.0
OTHERS = 3
"""The flag for which the second run waits."""


class Group:
    """A request's memory: one input, two places for outputs, and flags."""

    def __init__(self, value: Array, code: int, given: int, nbytes: int) -> None:
        self.arena = Arena()
        self.given = self.arena.place(given, value.shape, value.nbytes)
        self.arena.view(self.given)[:] = value.tobytes()
        shape = (1, nbytes // 4) if code == 1 else ()
        self.made = [self.arena.place(code, shape, nbytes) for _ in range(2)]
        self.flags = self.arena.place(2, (OTHERS + 1,), OTHERS + 1)

    def flag(self, number: int) -> int:
        return self.arena.view(self.flags)[number]

    def raise_flag(self, number: int) -> None:
        self.arena.view(self.flags)[number] = 1

    def answers(self) -> list[bytes]:
        return [bytes(self.arena.view(ref)) for ref in self.made]

    def start(
        self,
        function: LocalFunction,
        waits: Sequence[tuple[int, ...]] = ((), (OTHERS,)),
        deadline_s: float = PATIENCE_S,
    ) -> "asyncio.Task[SequenceResult]":
        """Start two runs of the function's only graph, each with its own place for the output."""
        steps = [
            Step(pack_run(0, [self.given], [ref]), number, waited)
            for number, (ref, waited) in enumerate(zip(self.made, waits, strict=True), ABORT + 1)
        ]
        deadline = time.monotonic() + deadline_s
        frame = pack_sequence(steps, self.flags.segment, self.flags.offset, int(deadline * 1e9))
        return asyncio.create_task(self._run(function, frame, deadline))

    async def _run(self, function: LocalFunction, frame: bytes, deadline: float) -> SequenceResult:
        async with function.turns.take(deadline):
            return await function.sequence(frame, self.arena, deadline)


@contextlib.asynccontextmanager
async def ready(spec: WorkerSpec, group: Group) -> AsyncIterator[Calls]:
    try:
        async with up(spec) as calls:
            yield calls
    finally:
        group.arena.close()


@pytest.fixture
def mlp(reference: Callable[[str], Path]) -> tuple[WorkerSpec, Group, bytes]:
    """A worker, memory with an input, and the output."""
    path, feeds = reference("mlp"), sample_inputs("mlp")
    want = run_file(path, feeds)["y"]
    return graphs.spec(path, ("x",), ("y",)), Group(feeds["x"], 1, 1, want.nbytes), want.tobytes()


@pytest.fixture
def spin(tmp_path: Path) -> tuple[WorkerSpec, Group]:
    path = graphs.spin(tmp_path / "spin.onnx")
    return graphs.spec(path, ("n",), ("y",)), Group(np.array(graphs.FOREVER), 7, 7, 8)


def assert_close(got: bytes, want: bytes) -> None:
    np.testing.assert_allclose(np.frombuffer(got, np.float32), np.frombuffer(want, np.float32), rtol=1e-5)


def test_a_run_begins_when_the_flags_that_it_waits_for_are_raised(mlp: tuple[WorkerSpec, Group, bytes]) -> None:
    """The time of waiting counts, and is told apart."""
    spec, group, want = mlp

    async def main() -> None:
        async with ready(spec, group) as calls:
            started_ns = time.perf_counter_ns()
            task = group.start(calls.function)
            await until(lambda: group.flag(ABORT + 1) == 1)
            await asyncio.sleep(0.2)
            assert (task.done(), group.flag(ABORT + 2), group.answers()[1]) == (False, 0, bytes(len(want)))
            group.raise_flag(OTHERS)
            result = await task
            whole_ns = time.perf_counter_ns() - started_ns
            for answer in group.answers():
                assert_close(answer, want)
            assert (result.outcome, result.attempts, group.flag(ABORT + 2)) == (ENDED, 1, 1)
            assert all(held_ns >= compute_ns + waiting_ns > 0 for held_ns, compute_ns, waiting_ns in result.times_ns)
            assert whole_ns - 20_000_000 < sum(held_ns for held_ns, _, _ in result.times_ns) < whole_ns
            assert sum(waiting_ns for _, _, waiting_ns in result.times_ns) > 190_000_000

    uvloop.run(main())


def test_a_worker_killed_while_it_waits_runs_only_what_was_not_made(mlp: tuple[WorkerSpec, Group, bytes]) -> None:
    spec, group, want = mlp

    async def main() -> None:
        async with ready(spec, group) as calls:
            task = group.start(calls.function)
            await until(lambda: group.flag(ABORT + 1) == 1)
            group.arena.view(group.made[0])[:] = bytes(len(want))  # it must not be written again
            kill(calls)
            group.raise_flag(OTHERS)
            result = await task
            assert (result.outcome, result.attempts, result.times_ns[0][1]) == (ENDED, 2, 0)
            assert group.answers()[0] == bytes(len(want))
            assert_close(group.answers()[1], want)

    uvloop.run(main())


@pytest.mark.parametrize("aborted", [True, False])
def test_waiting_ends_with_an_abort_or_the_deadline(mlp: tuple[WorkerSpec, Group, bytes], aborted: bool) -> None:
    """Finished runs are reported; the worker survives."""
    spec, group, _ = mlp

    async def main() -> None:
        async with ready(spec, group) as calls:
            pid = calls.function.pid
            task = group.start(calls.function, deadline_s=1000.0 if aborted else 0.1)
            await until(lambda: group.flag(ABORT + 1) == 1)
            if aborted:
                group.raise_flag(ABORT)
            result = await task
            assert (result.outcome, len(result.times_ns)) == (STOPPED, 1)
            assert (calls.function.pid, calls.restarts) == (pid, [])

    uvloop.run(main())


def test_a_run_that_does_not_end_is_ended(spin: tuple[WorkerSpec, Group]) -> None:
    spec, group = spin

    async def main() -> None:
        async with ready(spec, group) as calls:
            task = group.start(calls.function, deadline_s=0.1)
            await until(lambda: under_way(calls))
            with pytest.raises(DeploymentError, match="function f0 did not answer before the deadline"):
                await task
            assert calls.restarts == ["f0"]

    uvloop.run(main())


def test_what_the_engine_refuses_is_told_and_raises_the_abort(mlp: tuple[WorkerSpec, Group, bytes]) -> None:
    spec, group, _ = mlp
    group.given = TensorRef(1, (1, 3), group.given.segment, group.given.offset, 12)

    async def main() -> None:
        async with ready(spec, group) as calls:
            with pytest.raises(RequestError, match=r"refused these inputs: .*Expected: 16"):
                await group.start(calls.function)
            assert [group.flag(number) for number in range(OTHERS)] == [1, 0, 0]
            assert calls.restarts == []

    uvloop.run(main())
