"""Functions that exchange tensors in steps compute correctly, whatever worker dies, fails, or client leaves."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uvloop
from onnx import TensorProto

from mopar.bundle import Bundle, build, open_bundle
from mopar.gateway.arrays import Array
from mopar.measurement.recording import record
from mopar.platforms.local.places import Places
from mopar.runtime.frames import TensorRef
from mopar.runtime.sequence import ABORT
from mopar.types import DeploymentError, RequestError, TensorSpec
from tests.bundle.parted import MODEL, in_parts, known
from tests.bundle.steps import stepped
from tests.bundle.test_encoded_shares import codings_of
from tests.gateway.test_executor import PATIENCE_S, Served, failure, serving, until
from tests.models import sample_inputs
from tests.models.builder import Builder

pytestmark = pytest.mark.usefixtures("nothing_left")

WIDTH, STEPS, ROWS = 4, 3, 5
GIVEN = (TensorSpec("x", "float32", (ROWS, WIDTH)), TensorSpec("row", "int64", (1,)))
MADE = TensorSpec("", "float32", (ROWS, WIDTH))


def weight(step: int, part: int, place: int) -> float:
    return 1.0 + step + part / 2 + place / 4


def write(path: Path, step: int, part: int, names: Sequence[str], gift: str) -> None:
    """A sum of the inputs, each times a constant; in one call plus a row that may not exist."""
    g = Builder("step")
    taken = [g.input(name, [ROWS, WIDTH]) for name in names if name != "row"]
    terms = [g.add("Mul", name, g.value(np.float32(weight(step, part, place)))) for place, name in enumerate(taken)]
    row = g.input("row", [1], TensorProto.INT64)
    if part == 1 and step == 1:
        terms.append(g.add("Gather", taken[0], row))
    else:
        terms.append(g.add("Cast", g.add("Mul", row, g.ints(0)), to=TensorProto.FLOAT))
    g.add("Sum", *terms, output=gift)
    g.output(gift, [ROWS, WIDTH])
    g.save(path)


def wanted(feeds: dict[str, Array], parts: int = 2) -> dict[str, Array]:
    """The last step's outputs, by numpy."""
    x, row = feeds["x"], int(feeds["row"].item())
    before: list[Array] = []
    for step in range(STEPS):
        reads = [x, *before]
        before = []
        for part in range(parts):
            terms = [np.float32(weight(step, part, place)) * read for place, read in enumerate(reads)]
            if part == 1 and step == 1:
                terms.append(np.broadcast_to(x[row], x.shape))
            before.append(np.asarray(np.sum(terms, axis=0, dtype=np.float32)))
    return {f"t{STEPS - 1}_{part}": array for part, array in enumerate(before)}


def sample(seed: int, row: int = 0) -> dict[str, Array]:
    x = np.random.default_rng(seed).standard_normal((ROWS, WIDTH)).astype(np.float32)
    return {"x": x, "row": np.array([row])}


def assert_right(got: dict[str, Array], feeds: dict[str, Array], parts: int = 2) -> None:
    want = wanted(feeds, parts)
    assert got.keys() == want.keys()
    for name, array in want.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-4)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return stepped(tmp_path / "b", write, GIVEN, MADE, steps=STEPS)


class Flags:
    """The current flags of all requests of a test."""

    def __init__(self) -> None:
        self.found: list[memoryview] = []

    def __getitem__(self, flag: int) -> int:
        return self.found[-1][flag]


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flags]:
    seen, cleared = Flags(), Places.cleared_flags

    def spy(places: Places, count: int) -> TensorRef:
        ref = cleared(places, count)
        seen.found.append(places.arena.view(ref))
        return ref

    monkeypatch.setattr(Places, "cleared_flags", spy)
    yield seen
    for view in seen.found:
        view.release()


def raised(flags: Flags, flag: int) -> bool:
    return bool(flags.found) and flags[flag] == 1


def calls_of(served: Served) -> dict[str, tuple[int, int]]:
    """Attempts and engine time of each call that ended."""
    return {timing.call: (timing.attempts, timing.compute_ns) for timing in served.timings}


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_that_exchange_answer_right(tmp_path: Path, flags: Flags, parts: int) -> None:
    """All their calls are handed out at once; metrics count each as if it had been sent separately."""
    bundle = stepped(tmp_path / "b", write, GIVEN, MADE, parts=parts, steps=STEPS)

    async def main() -> None:
        async with serving(bundle) as served:
            for seed in range(5):
                feeds = sample(seed, seed % ROWS)
                assert_right(await served.ask(feeds), feeds, parts)
            assert len(flags.found) == 5
            assert [timing.call for timing in served.timings[: parts * STEPS]] == [
                call.id for call in bundle.manifest.calls
            ]
            assert all(timing.held_ns >= timing.compute_ns > 0 for timing in served.timings)

    uvloop.run(main())


def test_sizes_that_are_not_foreseen_go_through_the_gateway(tmp_path: Path, flags: Flags) -> None:
    """In the first request; the next ones have the same shapes."""
    unknown = TensorSpec("", "float32", ("n", WIDTH))
    bundle = stepped(tmp_path / "b", write, GIVEN, unknown, steps=STEPS)

    async def main() -> None:
        async with serving(bundle) as served:
            for seed in range(3):
                feeds = sample(seed)
                assert_right(await served.ask(feeds), feeds)
            assert len(served.timings) == 3 * len(bundle.manifest.calls)
            assert len(flags.found) == 2

    uvloop.run(main())


def test_requests_at_once_do_not_wait_for_each_other_in_a_circle(bundle: Bundle) -> None:
    """Each needs all functions at the same time; a worker is killed while many requests run."""

    async def main() -> None:
        answered = 0
        async with serving(bundle, concurrency=8, queue=64) as served:

            async def one(seed: int) -> None:
                nonlocal answered
                feeds = sample(seed, seed % ROWS)
                got = await served.ask(feeds)
                answered += 1
                if answered == 20:
                    served.signal(signal.SIGKILL, "f1")
                assert_right(got, feeds)

            await asyncio.gather(*(one(seed) for seed in range(60)))
            assert served.restarts == ["f1"]

    uvloop.run(main())


def test_a_worker_killed_between_two_steps_goes_on_where_it_was(bundle: Bundle, flags: Flags) -> None:
    """Its earlier outputs are not written again: the other parts may be reading them."""
    feeds = sample(0)

    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f0")
            request = asyncio.create_task(served.ask(feeds))
            await until(lambda: raised(flags, 2))  # f1 has ended its first call, and waits for f0's
            served.signal(signal.SIGKILL, "f1")
            await until(lambda: served.restarts == ["f1"] and served.functions["f1"].ready())
            served.signal(signal.SIGCONT, "f0")
            assert_right(await request, feeds)
            calls = calls_of(served)
            assert calls["c0_1"] == (2, 0)
            assert [attempts for attempts, _ in calls.values()] == [1, 2, 1, 1, 1, 1]
            assert all(compute_ns > 0 for call, (_, compute_ns) in calls.items() if call != "c0_1")

    uvloop.run(main())


def test_a_worker_killed_twice_fails_the_request_and_frees_the_others(bundle: Bundle, flags: Flags) -> None:
    """f1 waits for f0 each time; f0, when it continues, does not begin its call."""

    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f0")
            waiting, first = (function.pid for function in served.functions.values())
            request = asyncio.create_task(served.ask(sample(0), deadline_s=1000.0))
            await until(lambda: raised(flags, 2))
            served.signal(signal.SIGKILL, "f1")
            await until(lambda: served.under_way("f1") and served.functions["f1"].pid not in {None, first})
            served.signal(signal.SIGKILL, "f1")
            await until(lambda: raised(flags, ABORT))
            served.signal(signal.SIGCONT, "f0")
            with pytest.raises(DeploymentError, match=r"function f1 was killed .* twice in one request"):
                await request
            assert (served.functions["f0"].pid, served.restarts) == (waiting, ["f1", "f1"])
            assert calls_of(served) == {}
            assert_right(await served.ask(sample(1)), sample(1))

    uvloop.run(main())


def test_what_the_engine_refuses_stops_the_other_parts(bundle: Bundle) -> None:
    """Long before the deadline; all workers survive."""

    async def main() -> None:
        async with serving(bundle) as served, asyncio.timeout(PATIENCE_S):
            pids = [function.pid for function in served.functions.values()]
            with pytest.raises(RequestError, match=r"the model refused these inputs: .*out of data bounds"):
                await served.ask(sample(0, ROWS + 7), deadline_s=1000.0)
            assert_right(await served.ask(sample(1)), sample(1))
            assert [function.pid for function in served.functions.values()] == pids

    uvloop.run(main())


def test_at_the_deadline_only_the_worker_that_others_wait_for_is_replaced(bundle: Bundle) -> None:
    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f1")
            waiting = served.functions["f0"].pid
            with pytest.raises(DeploymentError, match="function f1 did not answer before the deadline"):
                await served.ask(sample(0), deadline_s=0.2)
            assert served.restarts == ["f1"]
            assert served.functions["f0"].pid == waiting
            assert_right(await served.ask(sample(1)), sample(1))

    uvloop.run(main())


def test_who_leaves_keeps_no_worker_waiting(bundle: Bundle, flags: Flags) -> None:
    """The memory is reused only when all parts have ended."""

    async def main() -> None:
        async with serving(bundle) as served:
            served.signal(signal.SIGSTOP, "f1")
            left = asyncio.create_task(served.ask(sample(0), deadline_s=1000.0))
            await until(lambda: raised(flags, 1) and served.under_way("f1"))
            left.cancel()
            assert isinstance(await failure(left), asyncio.CancelledError)
            await until(lambda: not served.under_way("f0"))
            assert served.transport._arenas == []
            served.signal(signal.SIGCONT, "f1")
            await until(lambda: not served.executor._stragglers)
            assert len(served.transport._arenas) == 1
            assert served.restarts == []
            assert "c1_0" not in calls_of(served)
            assert_right(await served.ask(sample(1)), sample(1))

    uvloop.run(main())


def test_codes_are_exchanged_as_other_tensors_are(tmp_path: Path, flags: Flags) -> None:
    """By parts that get all their calls at once; answers are those of the calls one by one."""
    codings = codings_of("exchanged", "int8")
    plan = replace(in_parts("exchanged"), codecs=dict.fromkeys(codings, "int8"))
    build(known()[0], plan, tmp_path / "coded", codings=codings)
    coded, feeds = open_bundle(tmp_path / "coded"), sample_inputs(MODEL)
    want = record(coded, feeds).outputs

    async def main() -> None:
        async with serving(coded) as served:
            for _ in range(2):
                got = await served.ask(feeds)
                for name, array in want.items():
                    np.testing.assert_array_equal(got[name], array)

    uvloop.run(main())
    assert flags.found
