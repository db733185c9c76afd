"""A plan computes the same over HTTP, and errors are reported as by the local transport."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import uvloop

from mopar.bundle import Bundle
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.budget import MemoryBudget
from mopar.gateway.executor import Executor
from mopar.platforms.base import CallTiming
from mopar.platforms.http import HttpTransport
from mopar.platforms.local.http_deployment import HttpDeployment
from mopar.types import Network, RequestError, TensorSpec, TensorValue
from mopar.zoo import zoo_models
from tests.bundle.plans import built
from tests.bundle.steps import stepped
from tests.gateway.test_exchange import GIVEN, MADE, STEPS, assert_right, sample, write
from tests.gateway.test_executor import ends
from tests.graph.composed import assert_equal, run_file
from tests.models import sample_inputs, small_names

pytestmark = pytest.mark.usefixtures("nothing_left")

PATIENCE_S = 20.0
MIB = 1 << 20
WHOLE = {"external", "sequence", "unknown_size"}
"""Models that are also asked as one function: weights in a file, a sequence inside, an output of unknown size."""


class Served:
    """A bundle's functions behind HTTP servers, and their executor."""

    def __init__(self, deployment: HttpDeployment, transport: HttpTransport, executor: Executor) -> None:
        self.deployment = deployment
        self.transport = transport
        self.executor = executor
        self.timings: list[CallTiming] = []
        self.restarts: list[str] = []

    async def ask(self, feeds: Mapping[str, Array], deadline_s: float = PATIENCE_S) -> dict[str, Array]:
        values = {name: from_array(name, array) for name, array in feeds.items()}
        async with self.executor.infer(values, None, deadline_s) as answer:
            return {value.name: to_array(value).copy() for value in answer.outputs}

    def pid(self, function: str) -> int:
        pid = self.deployment.functions[function].pid
        assert pid is not None
        return pid

    def under_way(self, function: str) -> bool:
        """Whether a call has started, and no function is starting."""
        return self.transport._functions[function]._turns._calls > 0 and self.deployment.functions[function].ready()


@contextlib.asynccontextmanager
async def serving(
    bundle: Bundle, *, limits: bool = False, network: Network | None = None, budget: MemoryBudget | None = None
) -> AsyncIterator[Served]:
    timings: list[CallTiming] = []
    restarts: list[str] = []
    async with HttpDeployment(bundle, limits=limits, network=network, on_restart=restarts.append) as deployment:
        transport = deployment.transport(budget)
        executor = Executor(bundle.manifest, transport, budget=budget, observe=timings.append)
        served = Served(deployment, transport, executor)
        served.timings, served.restarts = timings, restarts
        try:
            yield served
        finally:
            await executor.close()


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        pytest.param(name, pieces, marks=[] if pieces > 1 or name in WHOLE else [pytest.mark.slow])
        for name in small_names()
        for pieces in (1, 4)
    ],
)
def test_a_composed_answer_is_the_models(
    reference: Callable[[str], Path], tmp_path: Path, name: str, pieces: int
) -> None:
    path = reference(name)
    bundle = built(path, tmp_path / "b", pieces)

    async def main() -> None:
        async with serving(bundle) as served:
            assert served.executor.ready()
            for seed in range(2):
                feeds = sample_inputs(name, seed)
                assert_equal(await served.ask(feeds), run_file(path, feeds), f"{name} in {pieces}")
            assert len(served.timings) == 2 * len(bundle.manifest.calls)
            assert all(timing.held_ns > timing.compute_ns > 0 for timing in served.timings)
            assert all(payload.calls and payload.received_bytes for payload in served.transport.payloads.values())

    uvloop.run(main())


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize("name", [model.name for model in zoo_models()])
def test_a_composed_answer_of_a_reference_model_is_the_models(
    reference: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    path, feeds = reference(name), sample_inputs(name)
    bundle = built(path, tmp_path / "b", 4)

    async def main() -> None:
        async with serving(bundle) as served:
            assert_equal(await served.ask(feeds), run_file(path, feeds), name)

    uvloop.run(main())


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_that_exchange_answer_right_step_by_step(tmp_path: Path, parts: int) -> None:
    bundle = stepped(tmp_path / "b", write, GIVEN, MADE, parts=parts, steps=STEPS)

    async def main() -> None:
        async with serving(bundle) as served:
            for seed in range(3):
                assert_right(await served.ask(sample(seed)), sample(seed), parts)
            assert len(served.timings) == 3 * parts * STEPS

    uvloop.run(main())


@pytest.mark.parametrize("pieces", [1, 4])
def test_strings_and_tensors_without_elements(tmp_path: Path, pieces: int) -> None:
    path = ends(tmp_path / "ends.onnx")
    bundle = built(path, tmp_path / "b", pieces)

    async def main() -> None:
        async with serving(bundle) as served:
            for texts in (["1", "-2.5", "30000"], ["7"], []):
                feeds: dict[str, Array] = {"words": np.array(texts, object), "scale": np.array([0.5], np.float32)}
                assert_equal(await served.ask(feeds), run_file(path, feeds), str(texts))

    uvloop.run(main())


def test_every_size_of_a_symbolic_model_is_answered(reference: Callable[[str], Path], tmp_path: Path) -> None:
    """Large and small sizes alternate, so that a function's memory for inputs grows and shrinks."""
    path = reference("symbolic")
    bundle = built(path, tmp_path / "b")
    random = np.random.default_rng(0)

    async def main() -> None:
        async with serving(bundle) as served:
            for batch, steps in [(2, 5), (64, 40), *[(1, 1)] * 40, (100, 40), (0, 3)]:
                feeds: dict[str, Array] = {"x": random.standard_normal((batch, steps, 16)).astype(np.float32)}
                assert_equal(await served.ask(feeds), run_file(path, feeds), f"{batch}x{steps}")

    uvloop.run(main())


def test_what_the_model_refuses_is_a_mistake_of_the_request(tmp_path: Path) -> None:
    bundle = built(ends(tmp_path / "ends.onnx"), tmp_path / "b")
    scale = from_array("scale", np.array([1.0], np.float32))

    async def main() -> None:
        async with serving(bundle) as served:
            for data, says in [
                (b"\x09\0\0\0abc", "refused these inputs: not a packed string tensor"),
                (b"\x01\0\0\0x", "refused these inputs"),
            ]:
                values = {"words": TensorValue("words", "string", (1,), data), "scale": scale}
                with pytest.raises(RequestError, match=says):
                    async with served.executor.infer(values, None, PATIENCE_S):
                        pass
            with pytest.raises(RequestError, match="input scale has 3 bytes, its shape needs 4"):
                served.transport.open({"scale": TensorValue("scale", "float32", (1,), b"123")}, 0)

    uvloop.run(main())


def looped(folder: Path, path: Path, output: str, shape: tuple[int, ...]) -> Bundle:
    """A bundle of one function with one graph ``n`` -> ``y``."""

    def write_graph(home: Path, _step: int, _part: int, _names: object, gift: str) -> None:
        home.write_bytes(path.read_bytes().replace(b"\x01y", b"\x01" + gift.encode()[:1]))

    given = (TensorSpec("n", "int64", shape),)
    return stepped(folder, write_graph, given, TensorSpec("", output, ()), parts=1, steps=1)


def test_many_requests_are_all_answered_right_while_a_function_is_killed(
    reference: Callable[[str], Path], tmp_path: Path
) -> None:
    path = reference("skip")
    bundle = built(path, tmp_path / "b")
    requests = [sample_inputs("skip", seed) for seed in range(100)]
    wants = [run_file(path, feeds) for feeds in requests]

    async def main() -> None:
        turns, answered = asyncio.Semaphore(8), 0
        async with serving(bundle) as served:
            url = served.deployment.functions["f1"].url

            async def one(number: int) -> None:
                nonlocal answered
                async with turns:
                    got = await served.ask(requests[number])
                answered += 1
                if answered == 30:
                    os.kill(served.pid("f1"), signal.SIGKILL)
                assert_equal(got, wants[number], str(number))

            await asyncio.gather(*(one(number) for number in range(len(requests))))
            assert served.restarts == ["f1"]
            assert len(served.timings) == 3 * len(requests)
            assert served.deployment.functions["f1"].url == url

    uvloop.run(main())
