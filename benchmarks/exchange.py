"""Cost of an exchange between two busy functions, through the gateway and by flags in shared memory.

    python -m benchmarks.exchange [--requests 200] [--json FILE]

Two functions, each on its own core, produce a tensor in each of nine steps, from both tensors of the step before, and
multiply matrices for a millisecond or two. The same bundle is measured in two interleaved modes: each call sent by the
gateway, and all calls handed out at once, so that the workers wait for each other directly. Requests to a bundle of a
single step are interleaved with them. From the time of a request at the executor and the time inside the engines, an
exchange costs

    (request - sum over steps of the longer engine time - once) / exchanges

where ``once`` is the median of the same with a single step: the cost of a request at its beginning and its end.
"""

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import uvloop

from benchmarks.common import parser, say_where, spread, table, write_raw
from mopar.gateway.arrays import from_array
from mopar.gateway.executor import Executor
from mopar.platforms.local import LocalDeployment, transport
from mopar.types import TensorSpec
from tests.bundle.steps import Write, stepped
from tests.models.builder import Builder

SIZES = {"3 KB": 768, "600 KB": 153_600}
SEED, WARM, WIDTH, PRODUCTS, STEPS = 0, 20, 256, 4, 9
DEADLINE_S = 30.0
WAYS = {"gateway": False, "flags": True}


def writer(size: int) -> Write:
    """Write graphs that multiply matrices for a millisecond or two, and add up their inputs."""

    def write(path: Path, _step: int, _part: int, names: Sequence[str], gift: str) -> None:
        g = Builder("step")
        taken = [g.input(name, [size]) for name in names]
        x = g.add("Expand", g.add("Slice", taken[0], g.ints(0), g.ints(1)), g.ints(WIDTH, WIDTH))
        for _ in range(PRODUCTS):
            x = g.add("MatMul", x, g.weight(WIDTH, WIDTH))
        g.add("Sum", *taken, g.add("ReduceMean", x, keepdims=0), output=gift)
        g.output(gift, [size])
        g.save(path)

    return write


async def ask(executor: Executor, size: int) -> float:
    """Send one request; return its time in ms minus the longer engine time of each of its steps."""
    values = {"x": from_array("x", np.full(size, 0.5, np.float32))}
    started = time.perf_counter()
    async with executor.infer(values, None, DEADLINE_S) as answer:
        elapsed_ms = (time.perf_counter() - started) * 1e3
        longer: dict[str, float] = {}
        for timing in answer.timings:
            step = timing.call.partition("_")[0]
            longer[step] = max(longer.get(step, 0.0), timing.compute_ns / 1e6)
    return elapsed_ms - sum(longer.values())


async def outside_engine_ms(root: Path, size: int, cores: Sequence[int], count: int) -> dict[str, list[float]]:
    """Per mode and number of steps, the time of each request outside the engines, in ms."""
    spec, pinned = TensorSpec("x", "float32", (size,)), {f"f{i}": (core,) for i, core in enumerate(cores)}
    executors: dict[str, Executor] = {}
    async with contextlib.AsyncExitStack() as stack:
        for steps in (1, STEPS):
            bundle = stepped(root / str(steps), writer(size), (spec,), spec, parts=len(cores), steps=steps)
            deployment = await stack.enter_async_context(LocalDeployment(bundle, limits=False, cores=pinned))
            for way, flags in WAYS.items():
                with mock.patch.object(transport, "_ORDERED_STORES", flags):
                    executors[f"{way}, {steps}"] = Executor(bundle.manifest, deployment.transport())
                stack.push_async_callback(executors[f"{way}, {steps}"].close)
        taken: dict[str, list[float]] = {name: [] for name in executors}
        for number in range(WARM + count):
            for name, executor in executors.items():
                found = await ask(executor, size)
                if number >= WARM:
                    taken[name].append(found)
    return taken


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=200, help="counted requests of each kind (default: 200)")
    options = arguments.parse_args()
    say_where(SEED)
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        sys.exit("this benchmark needs two cores")
    raw: dict[str, list[float]] = {}
    rows = []
    for label, size in SIZES.items():
        with tempfile.TemporaryDirectory(prefix="mopar-exchange-") as folder:
            taken = uvloop.run(outside_engine_ms(Path(folder), size, cores, options.requests))
        for way in WAYS:
            once = statistics.median(taken[f"{way}, 1"])
            found = spread([(value - once) / (STEPS - 1) for value in taken[f"{way}, {STEPS}"]])
            rows.append((label, way, f"{found.p50:.3f}", f"{found.p95:.3f}", f"{once:.3f}"))
        raw.update({f"{label}, {name}": samples for name, samples in taken.items()})
    table(("tensors", "way", "exchange ms, p50", "p95", "once ms"), rows)
    print(f"{options.requests} requests of each kind, {STEPS - 1} exchanges in each")
    write_raw(options.json, "exchange", {"seed": SEED, "cores": cores, "steps": STEPS, "besides_engine_ms": raw})


if __name__ == "__main__":
    main()
