"""Sizes that inference does not know are foreseen from requests of the same shapes; where they vary, answers hold."""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import uvloop
from onnx import TensorProto

from mopar.bundle import Bundle, build, open_bundle
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.budget import MemoryBudget
from mopar.gateway.executor import Executor
from mopar.graph import cut_positions, layers_of, load_model
from mopar.platforms.local import LocalDeployment
from mopar.platforms.local.arena import Arena
from mopar.platforms.local.chain import Chain
from mopar.platforms.local.request import LocalRequest
from mopar.runtime import frames
from mopar.types import RequestError, TensorSpec
from tests.bundle.plans import built, chain
from tests.bundle.steps import stepped
from tests.gateway.test_executor import PATIENCE_S, serving
from tests.graph.composed import assert_equal, run_file
from tests.models.builder import Builder

pytestmark = pytest.mark.usefixtures("nothing_left")

WIDTH, STEPS, FUNCTIONS = 4, 3, 4


class Seen:
    """What requests took: outputs fetched in a second frame, calls that ended in chains, and groups that did."""

    def __init__(self) -> None:
        self.fetched = 0
        self.chained: list[int] = []
        self.grouped: list[bool] = []

    def since(self) -> tuple[int, list[int], list[bool]]:
        found = self.fetched, self.chained, self.grouped
        self.fetched, self.chained, self.grouped = 0, [], []
        return found


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    found = Seen()
    pack_fetch, run_chain, run_group = frames.pack_fetch, Chain.run, LocalRequest.run_group

    def fetch(outputs: Sequence[frames.TensorRef]) -> bytes:
        found.fetched += len(outputs)
        return pack_fetch(outputs)

    async def passed(self: Chain, frame: bytes, peers: Sequence[int], arena: Arena) -> bool:
        died = await run_chain(self, frame, peers, arena)
        found.chained.append(len(self.times_ns))
        return died

    async def group(self: LocalRequest, *what: object) -> bool:
        ended = await run_group(self, *what)  # type: ignore[arg-type]
        found.grouped.append(ended)
        return ended

    monkeypatch.setattr(frames, "pack_fetch", fetch)
    monkeypatch.setattr(Chain, "run", passed)
    monkeypatch.setattr(LocalRequest, "run_group", group)
    return found


def rows(count: int, positive: int, seed: int = 0) -> dict[str, Array]:
    """Rows, of which so many begin with a positive number."""
    x = np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)
    x[:, 0] = -np.abs(x[:, 0]) - 0.1
    x[:positive, 0] *= -1
    return {"x": x}


def write_chain(path: Path) -> Path:
    """Products of matrices: all rows, up to a number that inference does not follow; then those that begin positive."""
    g = Builder("chain")
    x = g.input("x", ["rows", WIDTH])
    most = g.add("Min", g.add("Shape", x, start=0, end=1), g.ints(1000))
    some = g.add("Slice", g.add("MatMul", x, g.value(np.eye(WIDTH, dtype=np.float32))), g.ints(0), most, g.ints(0))
    first = g.add("Gather", some, g.value(np.int64(0)), axis=1)
    kept = g.add("Compress", some, g.add("Greater", first, g.value(np.float32(0))), axis=0)
    more = g.add("MatMul", kept, g.weight(WIDTH, WIDTH))
    third = g.add("MatMul", g.add("Tanh", more), g.weight(WIDTH, WIDTH))
    g.add("MatMul", third, g.weight(WIDTH, WIDTH), output="y")
    g.output("y", ["found", WIDTH])
    g.save(path)
    return path


def write_step(path: Path, step: int, part: int, names: Sequence[str], gift: str) -> None:
    """All rows that it reads, times a number; in the first step, of them those that begin positive."""
    g = Builder("step")
    taken = [g.input(name, [f"{name}_rows", WIDTH]) for name in names]
    joined = g.add("Concat", *taken, axis=0)
    if step == 0:
        first = g.add("Gather", joined, g.value(np.int64(0)), axis=1)
        joined = g.add("Compress", joined, g.add("Greater", first, g.value(np.float32(0))), axis=0)
    g.add("Mul", joined, g.value(np.float32(1 + step + part / 2)), output=gift)
    g.output(gift, ["rows", WIDTH])
    g.save(path)


def steps_of(x: Array) -> dict[str, Array]:
    """The last step's outputs, by numpy."""
    before: list[Array] = []
    for step in range(STEPS):
        joined = np.concatenate([x, *before])
        joined = joined[joined[:, 0] > 0] if step == 0 else joined
        before = [joined * np.float32(1 + step + part / 2) for part in range(2)]
    return {f"t{STEPS - 1}_{part}": array for part, array in enumerate(before)}


def test_a_chain_is_passed_on_from_the_second_request_of_its_shapes_on(tmp_path: Path, seen: Seen) -> None:
    """Until other numbers of rows are kept: that tensor, and what is made of it, is then fetched for good."""
    path = write_chain(tmp_path / "chain.onnx")
    bundle = built(path, tmp_path / "b", FUNCTIONS)

    async def main() -> None:
        async with serving(bundle) as served:

            async def asked(count: int, positive: int, seed: int = 0) -> tuple[int, list[int], list[bool]]:
                feeds = rows(count, positive, seed)
                assert_equal(await served.ask(feeds), run_file(path, feeds), f"{positive} of {count}")
                return seen.since()

            first, chained, _ = await asked(5, 3)
            assert (first > FUNCTIONS // 2, chained) == (True, [])
            for seed in range(1, 4):
                assert await asked(5, 3, seed) == (0, [FUNCTIONS], [])
            assert (await asked(7, 3))[0] == first
            assert await asked(7, 3) == (0, [FUNCTIONS], [])
            again, (passed,), _ = await asked(5, 2)
            assert again == first
            assert passed < FUNCTIONS
            for positive in (2, 5, 0, 3):
                again, chained, _ = await asked(5, positive)
                assert 0 < again < first
                assert all(ended >= 2 for ended in chained)

    uvloop.run(main())


@pytest.fixture
def steps(tmp_path: Path) -> Bundle:
    given = (TensorSpec("x", "float32", ("rows", WIDTH)),)
    return stepped(tmp_path / "b", write_step, given, TensorSpec("", "float32", (None, WIDTH)), steps=STEPS)


def test_parts_exchange_from_the_second_request_of_their_shapes_on(steps: Bundle, seen: Seen) -> None:
    """Until sizes vary: then they are fetched for good, and none is wrong."""

    async def main() -> None:
        async with serving(steps) as served:

            async def asked(count: int, positive: int, seed: int = 0) -> tuple[int, list[int], list[bool]]:
                feeds = rows(count, positive, seed)
                got, want = await served.ask(feeds), steps_of(feeds["x"])
                for name, array in want.items():
                    np.testing.assert_array_equal(got[name], array)
                return seen.since()

            assert await asked(5, 3) == (2 * STEPS, [], [False])
            for seed in range(1, 4):
                assert await asked(5, 3, seed) == (0, [], [True])
            assert await asked(5, 4) == (2 * STEPS, [], [False])
            assert await asked(5, 4) == (2 * STEPS, [], [False])
            assert await asked(9, 0) == (2 * STEPS, [], [False])

    uvloop.run(main())


def test_an_output_varies_after_another_one_of_its_call(tmp_path: Path) -> None:
    """Of two filters in one function, requests at once show that one varies, and later ones that the other does."""
    g = Builder("filters")
    x = g.input("x", ["rows", WIDTH])
    for number in range(2):
        column = g.add("Gather", x, g.value(np.int64(number)), axis=1)
        kept = g.add("Compress", x, g.add("Greater", column, g.value(np.float32(0))), axis=0)
        g.add("Tanh", g.add("MatMul", kept, g.weight(WIDTH, WIDTH)), output=f"y{number}")
        g.output(f"y{number}", [f"found{number}", WIDTH])
    g.save(tmp_path / "filters.onnx")
    model = load_model(tmp_path / "filters.onnx")
    build(model, chain(model), tmp_path / "b")

    async def main() -> None:
        async with serving(open_bundle(tmp_path / "b")) as served:

            async def ask(first: int, second: int) -> None:
                feeds = rows(5, first)
                feeds["x"][:, 1] = [1] * second + [-1] * (5 - second)
                assert_equal(await served.ask(feeds), run_file(model.path, feeds), f"{first} and {second}")

            await asyncio.gather(ask(3, 3), ask(2, 3))
            for first, second in [(2, 3), (4, 2), (2, 2)]:
                await ask(first, second)

    uvloop.run(main())


def test_shapes_foreseen_that_do_not_fit_together_refuse_nothing(tmp_path: Path) -> None:
    """One tensor has as many rows as are kept in this request, and another, by what was foreseen, as many as before."""
    g = Builder("two")
    x = g.input("x", ["rows", WIDTH])
    first = g.add("Gather", x, g.value(np.int64(0)), axis=1)
    kept = g.add("Compress", x, g.add("Greater", first, g.value(np.float32(0))), axis=0)
    product = g.add("MatMul", kept, g.weight(WIDTH, WIDTH))
    total = g.add("MatMul", g.add("ReduceSum", x, g.ints(0)), g.weight(WIDTH, WIDTH))
    spread = g.add("Tanh", g.add("Expand", total, g.add("Shape", product)))
    g.add("MatMul", g.add("Add", product, spread), g.weight(WIDTH, WIDTH), output="y")
    g.output("y", ["found", WIDTH])
    g.save(tmp_path / "two.onnx")
    model = load_model(tmp_path / "two.onnx")

    async def main(bundle: Bundle) -> None:
        async with serving(bundle) as served:
            for positive in (3, 3, 2, 2, 4, 3):
                feeds = rows(5, positive)
                assert_equal(await served.ask(feeds), run_file(model.path, feeds), str(positive))

    for number, cuts in enumerate(
        itertools.combinations([cut.index for cut in cut_positions(model, layers_of(model))], 2)
    ):
        build(model, chain(model, cuts), tmp_path / str(number))
        uvloop.run(main(open_bundle(tmp_path / str(number))))


@pytest.mark.parametrize("pieces", [2, 3, 5])
def test_a_request_that_takes_too_much_memory_refuses_no_other(tmp_path: Path, pieces: int) -> None:
    """Nor does what was foreseen: once it is wrong, a request has its memory for what it needs."""
    g = Builder("count")
    count = g.add("Squeeze", g.input("count", [1], TensorProto.INT64), g.ints(0))
    numbers = g.add("Cast", g.add("Range", g.value(np.int64(0)), count, g.value(np.int64(1))), to=TensorProto.FLOAT)
    wide = g.add("Tanh", g.add("MatMul", g.add("Unsqueeze", numbers, g.ints(1)), g.weight(1, 64)))
    wider = g.add("Tanh", g.add("MatMul", wide, g.weight(64, 128)))
    g.add("ReduceSum", g.add("MatMul", wider, g.weight(128, 1)), g.ints(0), output="y")
    g.output("y", [1, 1])
    g.save(tmp_path / "count.onnx")
    bundle, most = built(tmp_path / "count.onnx", tmp_path / "b", pieces), 20_000

    async def main() -> None:
        async with LocalDeployment(bundle, limits=False) as deployment:
            budget = MemoryBudget(20 << 20, 100 << 20)
            executor = Executor(bundle.manifest, deployment.transport(budget), budget=budget)

            async def ask(number: int) -> None:
                feeds = {"count": np.array([number])}
                values = {"count": from_array("count", feeds["count"])}
                async with executor.infer(values, None, PATIENCE_S) as answer:
                    got = {value.name: to_array(value).copy() for value in answer.outputs}
                assert_equal(got, run_file(tmp_path / "count.onnx", feeds), str(number))

            for number in (5 * most, 10, 10, most, most - 1, 5 * most, most - 2):
                if number > most:
                    with pytest.raises(RequestError, match=r"\(--max-request-mib\)"):
                        await ask(number)
                else:
                    await ask(number)
            await executor.close()
            assert budget.held == 0

    uvloop.run(main())
