"""Latency of chains of 14 functions, each call handed over by the gateway, and by the function before.

    python -m benchmarks.handover [--requests 300] [--json FILE]

A model of small matrix products, about 0.05 ms in each function, and ResNet-50 (prepared weights), cut at 13 places
where one tensor crosses. The same functions are called in both ways: requests take turns, and which way goes first
changes each round. The gain is the median of the differences between the two requests of a round. Goal for both models:
at least 0.5 ms, or 5% of the latency.

Then the same with several requests at once, in batches that take turns: how many are answered per second. Goal: no
fewer.
"""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import uvloop

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from mopar.bundle import Bundle, build, open_bundle, prepare
from mopar.gateway.arrays import Array, from_array, to_array
from mopar.gateway.executor import Executor
from mopar.graph import cut_positions, layers_of, load_model
from mopar.measurement.single import chain_bundle
from mopar.platforms.local import LocalDeployment, LocalTransport
from mopar.types import EngineOptions, TensorSpec
from tests.bundle.plans import chain
from tests.models import materialise, sample_inputs
from tests.models.builder import Builder

FUNCTIONS, ROWS, WIDTH = 14, 16, 256
SEED, WARM = 0, 30
AT_ONCE, BATCHES = (2, 4), 8
WAYS = {"gateway": False, "functions": True}
GOAL_MS, GOAL_SHARE, NO_FEWER = 0.5, 0.05, 0.97
DEADLINE_S = 30.0


def small(root: Path) -> tuple[Bundle, dict[str, Array]]:
    """Functions that multiply two matrices each, and an input."""
    files = []
    for number in range(FUNCTIONS):
        g = Builder("part")
        product = g.add("MatMul", g.input(f"t{number}", [ROWS, WIDTH]), g.weight(WIDTH, WIDTH))
        g.add("Tanh", product, output=f"t{number + 1}")
        g.output(f"t{number + 1}", [ROWS, WIDTH])
        files.append((root / f"g{number}.onnx",))
        g.save(*files[-1])
    boundaries = tuple((TensorSpec(f"t{number}", "float32", (ROWS, WIDTH)),) for number in range(FUNCTIONS + 1))
    feeds = {"t0": np.random.default_rng(SEED).standard_normal((ROWS, WIDTH)).astype(np.float32)}
    return chain_bundle("small", tuple(files), boundaries, EngineOptions()), dict(feeds)


def resnet50(root: Path) -> tuple[Bundle, dict[str, Array]]:
    """ResNet-50, cut where one tensor crosses, and an input."""
    model = load_model(materialise("resnet50"))
    places = [cut.index for cut in cut_positions(model, layers_of(model)) if len(cut.tensors) == 1]
    cuts = [places[(2 * i + 1) * len(places) // (2 * FUNCTIONS - 2)] for i in range(FUNCTIONS - 1)]
    build(model, chain(model, cuts), root / "bundle")
    bundle = prepare(open_bundle(root / "bundle"), root / "packed", print)
    return bundle, sample_inputs("resnet50", SEED)


MODELS: Mapping[str, Callable[[Path], tuple[Bundle, dict[str, Array]]]] = {"small": small, "resnet50": resnet50}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, in ms: its latency, the time inside functions, and the gateway's CPU time."""

    latency_ms: float
    held_ms: float
    gateway_cpu_ms: float


Ask = Callable[[], Awaitable[tuple[Request, list[Array]]]]


def caller(executor: Executor, feeds: Mapping[str, Array]) -> Ask:
    """What sends one request, and returns its times and outputs."""
    values = {name: from_array(name, array) for name, array in feeds.items()}

    async def ask() -> tuple[Request, list[Array]]:
        cpu, started = time.process_time(), time.perf_counter()
        async with executor.infer(values, None, DEADLINE_S) as answer:
            latency_ms = (time.perf_counter() - started) * 1e3
            cpu_ms = (time.process_time() - cpu) * 1e3
            held_ms = sum(timing.held_ns for timing in answer.timings) / 1e6
            return Request(latency_ms, held_ms, cpu_ms), [to_array(value).copy() for value in answer.outputs]

    return ask


@contextlib.asynccontextmanager
async def deployed(bundle: Bundle, feeds: Mapping[str, Array]) -> AsyncIterator[dict[str, Ask]]:
    """The same functions, called in each way."""
    async with contextlib.AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(LocalDeployment(bundle, limits=False))
        asks = {}
        for way, chains in WAYS.items():
            with mock.patch.object(LocalTransport, "runs_chains", chains):
                executor = Executor(bundle.manifest, deployment.transport())
            stack.push_async_callback(executor.close)
            asks[way] = caller(executor, feeds)
        yield asks


async def one_by_one(asks: Mapping[str, Ask], count: int) -> dict[str, list[Request]]:
    """So many counted requests in each way; their outputs are compared."""
    taken: dict[str, list[Request]] = {way: [] for way in WAYS}
    for number in range(WARM + count):
        outputs = []
        for way in WAYS if number % 2 else reversed(WAYS):
            request, made = await asks[way]()
            outputs.append(made)
            if number >= WARM:
                taken[way].append(request)
        for one, other in zip(*outputs, strict=True):
            np.testing.assert_array_equal(one, other)
    return taken


async def per_second(asks: Mapping[str, Ask], count: int, at_once: int) -> dict[str, list[float]]:
    """How many requests were answered per second in each batch, of so many in all."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    each = max(count // BATCHES // at_once, 1)

    async def client(ask: Ask) -> None:
        for _ in range(each):
            await ask()

    for batch in range(1 + BATCHES):
        for way in WAYS if batch % 2 else reversed(WAYS):
            started = time.perf_counter()
            await asyncio.gather(*(client(asks[way]) for _ in range(at_once)))
            if batch:
                found[way].append(each * at_once / (time.perf_counter() - started))
    return found


async def compared(
    bundle: Bundle, feeds: Mapping[str, Array], count: int
) -> tuple[dict[str, list[Request]], dict[str, dict[str, list[float]]]]:
    """Requests one by one, and requests per second with several at once."""
    async with deployed(bundle, feeds) as asks:
        return await one_by_one(asks, count), {str(many): await per_second(asks, count, many) for many in AT_ONCE}


def row(name: str, taken: Mapping[str, list[Request]]) -> tuple[str, ...]:
    """A model's figures."""
    before, after = ([request.latency_ms for request in taken[way]] for way in WAYS)
    gain_ms = statistics.median(one - other for one, other in zip(before, after, strict=True))
    share = gain_ms / statistics.median(before)
    held = (f"{statistics.median(request.held_ms for request in taken[way]):.3f}" for way in WAYS)
    cpu = (f"{statistics.fmean(request.gateway_cpu_ms for request in taken[way]):.3f}" for way in WAYS)
    means = (f"{statistics.fmean(latencies):.3f}" for latencies in (before, after))
    latencies = (spread(before).text(), spread(after).text())
    goal = met(gain_ms >= GOAL_MS or share >= GOAL_SHARE)
    return (
        name,
        *latencies,
        " / ".join(means),
        f"{gain_ms:.3f} ms, {share:.1%}: {goal}",
        " / ".join(held),
        " / ".join(cpu),
    )


def crowd(name: str, at_once: str, found: Mapping[str, list[float]]) -> tuple[str, ...]:
    """A model's requests per second."""
    before, after = (spread(found[way]) for way in WAYS)
    return name, at_once, before.text(".1f"), after.text(".1f"), met(after.p50 >= NO_FEWER * before.p50)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=300, help="counted requests in each way (default: 300)")
    arguments.add_argument("--models", default=",".join(MODELS), help="separated by commas (default: both)")
    options = arguments.parse_args()
    say_where(SEED)
    rows, raw = [], {}
    crowds: list[tuple[str, ...]] = []
    for name in options.models.split(","):
        with tempfile.TemporaryDirectory(prefix="mopar-handover-") as folder:
            taken, rates = uvloop.run(compared(*MODELS[name](Path(folder)), options.requests))
        rows.append(row(name, taken))
        crowds += [crowd(name, many, found) for many, found in rates.items()]
        raw[name] = {"requests": taken, "per_second": rates}
    columns = ("model", "gateway, ms", "functions, ms", "means", "gain", "held, ms", "gateway's CPU, ms")
    table(columns, rows)
    table(("model", "at once", "gateway, requests/s", "functions, requests/s", "goal"), crowds)
    print(f"{FUNCTIONS} functions, {options.requests} requests in each way, taking turns; p50 [p25, p75]")
    write_raw(options.json, "handover", {"seed": SEED, "functions": FUNCTIONS, "models": raw})


if __name__ == "__main__":
    main()
