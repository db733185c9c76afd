"""The composed functions of a plan compute the reference model's outputs, whatever worker dies or client leaves."""

import asyncio
import collections
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import uvloop
from onnx import TensorProto

from mopar.bundle import Bundle, build, open_bundle
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.executor import Executor
from mopar.graph import load_model
from mopar.platforms.base import CallTiming
from mopar.platforms.local import LocalDeployment, LocalFunction, LocalTransport
from mopar.types import DeploymentError, OverloadedError, RequestError, TensorValue
from tests.bundle.plans import built, chain
from tests.graph.composed import assert_equal, run_file
from tests.models import sample_inputs
from tests.models.builder import Builder

pytestmark = pytest.mark.usefixtures("nothing_left")

PATIENCE_S = 20.0
TRAITS = [
    "external", "half", "if_capture", "lstm", "multi_output", "sequence", "skip", "symbolic", "towers", "unknown_size",
]  # fmt: skip


class Served:
    """A bundle's functions and their executor."""

    def __init__(
        self,
        executor: Executor,
        transport: LocalTransport,
        functions: Mapping[str, LocalFunction],
        timings: list[CallTiming],
        restarts: list[str],
    ) -> None:
        self.executor = executor
        self.transport = transport
        self.functions = functions
        self.timings = timings
        self.restarts = restarts

    async def ask(
        self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None, deadline_s: float = PATIENCE_S
    ) -> dict[str, Array]:
        values = {name: from_array(name, array) for name, array in feeds.items()}
        return await self.ask_values(values, outputs, deadline_s)

    async def ask_values(
        self, values: Mapping[str, TensorValue], outputs: Sequence[str] | None = None, deadline_s: float = PATIENCE_S
    ) -> dict[str, Array]:
        async with self.executor.infer(values, outputs, deadline_s) as answer:
            return {value.name: to_array(value).copy() for value in answer.outputs}

    def signal(self, number: int, *names: str) -> None:
        for name in names or self.functions:
            pid = self.functions[name].pid
            assert pid is not None
            os.kill(pid, number)

    def under_way(self, name: str) -> bool:
        """Whether a call was sent to a function and has not returned."""
        return self.functions[name]._reply is not None

    def waiting_for(self, name: str) -> int:
        """How many calls are queued for a function."""
        return self.functions[name].turns.waiting


@contextlib.asynccontextmanager
async def serving(bundle: Bundle, *, concurrency: int | None = None, queue: int = 64) -> AsyncIterator[Served]:
    timings: list[CallTiming] = []
    restarts: list[str] = []
    async with LocalDeployment(bundle, limits=False, on_restart=restarts.append) as deployment:
        transport = deployment.transport()
        executor = Executor(bundle.manifest, transport, concurrency=concurrency, queue=queue, observe=timings.append)
        try:
            yield Served(executor, transport, deployment.functions, timings, restarts)
        finally:
            await executor.close()


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what it waits for is not ours to signal
            await asyncio.sleep(0)


async def failure(call: Awaitable[object]) -> BaseException:
    """The error of a call that must fail."""
    (outcome,) = await asyncio.gather(call, return_exceptions=True)
    assert isinstance(outcome, BaseException)
    return outcome


@pytest.mark.parametrize("pieces", [2, 5])
@pytest.mark.parametrize("name", TRAITS)
def test_a_composed_answer_is_the_models(
    reference: Callable[[str], Path], tmp_path: Path, name: str, pieces: int
) -> None:
    path = reference(name)
    bundle = built(path, tmp_path / "b", pieces)

    async def main() -> None:
        async with serving(bundle) as served:
            assert served.executor.ready()
            for seed in range(3):
                feeds = sample_inputs(name, seed)
                assert_equal(await served.ask(feeds), run_file(path, feeds), f"{name} in {pieces}")
            counts = collections.Counter(timing.call for timing in served.timings)
            # Where a size was foreseen that depends on values, a request has run some calls again.
            assert counts.keys() == {call.id for call in bundle.manifest.calls}
            assert counts.total() == 3 * len(counts) or name == "unknown_size"

    uvloop.run(main())


def test_every_size_of_a_symbolic_model_is_answered(reference: Callable[[str], Path], tmp_path: Path) -> None:
    """One after the other in the same memory, growing and shrinking; a size that the model refuses is refused."""
    path = reference("symbolic")
    bundle = built(path, tmp_path / "b")
    random = np.random.default_rng(0)

    async def main() -> None:
        async with serving(bundle) as served:
            for batch, time in [(2, 5), (1, 1), (64, 40), (3, 7), (1, 1), (100, 40)]:
                feeds: dict[str, Array] = {"x": random.standard_normal((batch, time, 16)).astype(np.float32)}
                assert_equal(await served.ask(feeds), run_file(path, feeds), f"{batch}x{time}")
            with pytest.raises(RequestError, match="the model takes batchxseqx16"):
                await served.ask({"x": np.zeros((2, 5, 15), np.float32)})

    uvloop.run(main())


def ends(path: Path) -> Path:
    """Inputs and outputs of strings; ``words`` and ``scale`` are inputs and outputs at once."""
    g = Builder("ends")
    words = g.input("words", ["n"], TensorProto.STRING)
    scale = g.input("scale", [1])
    numbers = g.add("Cast", words, to=TensorProto.FLOAT)
    rows = g.add("Reshape", g.add("Mul", numbers, scale), g.ints(-1, 1))
    hidden = g.add("Tanh", g.add("MatMul", rows, g.weight(1, 8)))
    best = g.add("ArgMax", g.add("MatMul", hidden, g.weight(8, 5)), axis=1, keepdims=0)
    g.add("Cast", best, to=TensorProto.STRING, output="label")
    g.output("label", ["n"], TensorProto.STRING)
    g.output("words", ["n"], TensorProto.STRING)
    g.output("scale", [1])
    g.save(path)
    return path


@pytest.mark.parametrize("pieces", [1, 4])
def test_strings_at_the_ends_and_inputs_that_are_outputs(tmp_path: Path, pieces: int) -> None:
    path = ends(tmp_path / "ends.onnx")
    bundle = built(path, tmp_path / "b", pieces)

    async def main() -> None:
        async with serving(bundle) as served:
            for texts in (["1", "-2.5", "30000"], ["7"], []):
                feeds: dict[str, Array] = {"words": np.array(texts, object), "scale": np.array([0.5], np.float32)}
                assert_equal(await served.ask(feeds), run_file(path, feeds), str(texts))
            wanted = await served.ask(feeds, ["scale", "label"])
            assert list(wanted) == ["scale", "label"]

    uvloop.run(main())


def test_what_does_not_fit_the_model_is_refused_before_anything_runs(tmp_path: Path) -> None:
    bundle = built(ends(tmp_path / "ends.onnx"), tmp_path / "b")
    good: dict[str, Array] = {"words": np.array(["1"], object), "scale": np.array([2.0], np.float32)}
    wrong: list[tuple[dict[str, Array], str]] = [
        ({"words": good["words"]}, "input scale is missing: the model takes words, scale"),
        ({**good, "more": good["scale"]}, "input more is unknown"),
        ({**good, "scale": np.array([2.0])}, "input scale is float64, the model takes float32"),
        ({**good, "scale": np.zeros((1, 1), np.float32)}, "input scale has shape 1x1, the model takes 1"),
        ({**good, "scale": np.zeros(2, np.float32)}, "input scale has shape 2, the model takes 1"),
    ]
    short = TensorValue("scale", "float32", (1,), b"123")
    cut = TensorValue("words", "string", (1,), b"\x09\0\0\0abc")

    async def main() -> None:
        async with serving(bundle) as served:
            for feeds, message in wrong:
                with pytest.raises(RequestError, match=message):
                    await served.ask(feeds)
            with pytest.raises(RequestError, match="the model has no output odd: it has label, words, scale"):
                await served.ask(good, ["odd"])
            values = {name: from_array(name, array) for name, array in good.items()}
            with pytest.raises(RequestError, match="input scale has 3 bytes, its shape needs 4"):
                await served.ask_values({**values, "scale": short})
            assert served.timings == []
            with pytest.raises(RequestError, match="refused these inputs: not a packed string tensor"):
                await served.ask_values({**values, "words": cut})
            assert (await served.ask(good))["words"].tolist() == ["1"]
            assert all(function.ready() for function in served.functions.values())

    uvloop.run(main())


def test_many_requests_are_all_answered_right_while_a_worker_is_killed(
    reference: Callable[[str], Path], tmp_path: Path
) -> None:
    """Each with different inputs, so that a swapped output would be noticed."""
    path = reference("skip")
    bundle = built(path, tmp_path / "b")
    requests = [sample_inputs("skip", seed) for seed in range(200)]
    wants = [run_file(path, feeds) for feeds in requests]

    async def main() -> None:
        turns, answered = asyncio.Semaphore(8), 0
        async with serving(bundle) as served:

            async def one(number: int) -> None:
                nonlocal answered
                async with turns:
                    got = await served.ask(requests[number])
                answered += 1
                if answered == 60:
                    served.signal(signal.SIGKILL, "f1")
                assert_equal(got, wants[number], str(number))

            await asyncio.gather(*(one(number) for number in range(len(requests))))
            assert served.restarts == ["f1"]
            assert len(served.timings) == 3 * len(requests)

    uvloop.run(main())


def test_independent_calls_run_at_once(reference: Callable[[str], Path], tmp_path: Path) -> None:
    """Two towers: both functions have their calls before either returns."""
    model = load_model(reference("towers"))
    build(model, chain(model, [2, 4]), tmp_path / "b")
    bundle = open_bundle(tmp_path / "b")
    feeds = sample_inputs("towers")

    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f0", "f1")
            request = asyncio.create_task(served.ask(feeds))
            await until(lambda: served.under_way("f0") and served.under_way("f1"))
            served.signal(signal.SIGCONT, "f0", "f1")
            assert_equal(await request, run_file(reference("towers"), feeds), "towers")

    uvloop.run(main())


def test_where_two_calls_fail_both_are_heard(
    reference: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The request fails with one error; the other is retrieved too, so that asyncio does not warn of it later."""
    model = load_model(reference("towers"))
    build(model, chain(model, [2, 4]), tmp_path / "b")
    bundle = open_bundle(tmp_path / "b")
    feeds = sample_inputs("towers")

    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f0", "f1")
            with pytest.raises(DeploymentError, match="did not answer before the deadline"):
                await served.ask(feeds, deadline_s=0.1)
            assert_equal(await served.ask(feeds), run_file(reference("towers"), feeds), "towers")

    uvloop.run(main())
    gc.collect()
    assert caplog.records == []


def test_the_queue_is_bounded_and_waiting_ends_at_the_deadline(
    reference: Callable[[str], Path], tmp_path: Path
) -> None:
    path, feeds = reference("mlp"), sample_inputs("mlp")
    bundle = built(path, tmp_path / "b", 1)

    async def main() -> None:
        async with serving(bundle, concurrency=1, queue=2) as served:
            served.signal(signal.SIGSTOP)
            first = asyncio.create_task(served.ask(feeds))
            await until(lambda: served.under_way("f0"))
            late = asyncio.create_task(served.ask(feeds, deadline_s=0.05))
            patient = asyncio.create_task(served.ask(feeds))
            await until(lambda: served.executor._waiting == 2)
            with pytest.raises(OverloadedError, match="2 requests are waiting already"):
                await served.ask(feeds)
            with pytest.raises(OverloadedError, match="deadline passed while the request waited for its turn"):
                await late
            served.signal(signal.SIGCONT)
            for request in (first, patient):
                assert_equal(await request, run_file(path, feeds), "mlp")

    uvloop.run(main())


def test_memory_is_not_used_again_while_a_worker_may_still_write_to_it(
    reference: Callable[[str], Path], tmp_path: Path
) -> None:
    """A small request is cancelled by its caller before its worker runs it; a large one follows.

    In the same memory, the output of the small one would overwrite the middle of the large one's input.
    """
    path = reference("symbolic")
    bundle = built(path, tmp_path / "b", 1)
    random = np.random.default_rng(0)
    small, large = ({"x": random.standard_normal((n, 4, 16)).astype(np.float32)} for n in (2, 50))

    async def main() -> None:
        async with serving(bundle, concurrency=2, queue=0) as served:
            served.signal(signal.SIGSTOP)
            left = asyncio.create_task(served.ask(small))
            await until(lambda: served.under_way("f0"))
            left.cancel()
            assert isinstance(await failure(left), asyncio.CancelledError)
            stays = asyncio.create_task(served.ask(large))
            await until(lambda: served.waiting_for("f0") == 1)
            # Cancelled requests still count: otherwise callers that come and go would allocate memory without bound.
            assert isinstance(await failure(served.ask(small)), OverloadedError)
            served.signal(signal.SIGCONT)
            assert_equal(await stays, run_file(path, large), "large")
            await until(lambda: not served.executor._stragglers)
            both = await asyncio.gather(served.ask(small), served.ask(large))
            for got, feeds in zip(both, (small, large), strict=True):
                assert_equal(got, run_file(path, feeds), "both")
            assert len(served.transport._arenas) == 2

    uvloop.run(main())


def test_a_request_that_was_left_begins_no_further_calls(reference: Callable[[str], Path], tmp_path: Path) -> None:
    path, feeds = reference("skip"), sample_inputs("skip")
    bundle = built(path, tmp_path / "b")

    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f0")
            left = asyncio.create_task(served.ask(feeds))
            await until(lambda: served.under_way("f0"))
            left.cancel()
            await failure(left)
            served.signal(signal.SIGCONT, "f0")
            await until(lambda: not served.executor._stragglers)
            assert [timing.function for timing in served.timings] == ["f0"]
            assert_equal(await served.ask(feeds), run_file(path, feeds), "skip")

    uvloop.run(main())


def test_server_timing_names_every_call(reference: Callable[[str], Path], tmp_path: Path) -> None:
    bundle = built(reference("skip"), tmp_path / "b")
    values = {name: from_array(name, array) for name, array in sample_inputs("skip").items()}

    async def main() -> None:
        async with serving(bundle) as served, served.executor.infer(values, None, PATIENCE_S) as answer:
            names = [part.split(";")[0] for part in answer.server_timing.split(", ")]
            assert names == ["f0", "f0-engine", "f1", "f1-engine", "f2", "f2-engine"]

    uvloop.run(main())
