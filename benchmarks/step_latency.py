"""Latency that a step of two parallel functions adds to their engine time: gateway, two busy pinned workers, and back.

    python -m benchmarks.step_latency [--steps 300] [--json FILE]

Requests to two plans are interleaved. In the first, one function produces a tensor in shared memory, and nothing
follows. In the second a step follows: two calls that both read the tensor, on two workers pinned to a core each. All
calls compute for a millisecond or two, so that the gateway has no core to itself. From the time of a request at the
executor and the time inside the engines, the step adds

    (second request - its producer's engine time - the longer engine time of the step)
        - median (first request - its producer's engine time)

that is: the gateway's work for the step, the frames in both directions, and the workers' own handling. Time in which an
engine waits for its core while the gateway runs counts as engine time. For comparison, the same with one worker, and
the lower bound: the round trip of a frame over the same kind of socket to a pinned process that only sends it back.
"""

import array
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uvloop

import mopar
from benchmarks.common import met, parser, say_where, spread, table, write_raw
from mopar.bundle import Bundle, file_entries
from mopar.gateway.arrays import from_array
from mopar.gateway.executor import Executor
from mopar.measurement.single import UNLIMITED_MIB, nothing_of
from mopar.platforms.local import LocalDeployment
from mopar.types import (
    REQUEST,
    Call,
    CallInput,
    EngineOptions,
    Function,
    Graph,
    GraphEntry,
    Manifest,
    Plan,
    Source,
    TensorSpec,
)
from tests.models.builder import Builder

SIZES = {"3 KB": 768, "3 MB": 786432}
GOALS_MS = {"3 KB": 0.2, "3 MB": 0.4}
SEED, WARM, WIDTH, PRODUCTS = 0, 30, 256, 4
DEADLINE_S = 30.0
SEED_SPEC = TensorSpec("seed", "float32", (1,))
ECHO = """
import socket, sys
wire = socket.socket(fileno=int(sys.argv[1]))
while data := wire.recv(1 << 17):
    wire.send(data)
"""


def graph(path: Path, reads: str, length: int, output: str, size: int) -> Path:
    """A graph that multiplies matrices for a millisecond or two; from ``length`` floats, 1 or ``size``, to ``size``."""
    g = Builder("step")
    read = g.input(reads, [length])
    part = g.add("Slice", read, g.ints(0), g.ints(1))
    x = g.add("Expand", part, g.ints(WIDTH, WIDTH))
    for _ in range(PRODUCTS):
        x = g.add("MatMul", x, g.weight(WIDTH, WIDTH))
    whole = read if length == size else g.add("Expand", read, g.ints(size))
    g.add("Add", whole, g.add("ReduceMean", x, keepdims=0), output=output)
    g.output(output, [size])
    g.save(path)
    return path


def step_bundle(root: Path, size: int, workers: int) -> Bundle:
    """A bundle with the producer in the first function, then one call to each of ``workers`` functions, all at once."""
    root.mkdir()
    made = TensorSpec("made", "float32", (size,))
    outputs = tuple(TensorSpec(f"y{i}", "float32", (size,)) for i in range(workers))
    files = [graph(root / "maker.onnx", SEED_SPEC.name, 1, made.name, size)]
    files += [graph(root / f"worker{i}.onnx", made.name, size, f"y{i}", size) for i in range(workers)]
    names = ["make", *(f"work{i}" for i in range(workers))]
    homes = ["f0", *(f"f{i}" for i in range(workers))]
    takes = [(SEED_SPEC, REQUEST), *[(made, "make")] * workers]
    gives = [made, *outputs]
    entries, graphs, calls = [], [], []
    for name, home, file, (spec, producer), gift in zip(names, homes, files, takes, gives, strict=True):
        listed = file_entries(root, (file,))
        entries.append(GraphEntry(name, home, (spec,), (gift,), listed, EngineOptions(), None))
        graphs.append(Graph(name, 0, 1, (spec.name,), (gift.name,)))
        taken = CallInput(spec.name, (Source(producer, spec.name),))
        calls.append(Call(name, home, name, (taken,), (gift.name,)))
    functions = tuple(
        Function(home, tuple(n for n, h in zip(names, homes, strict=True) if h == home), UNLIMITED_MIB, 1.0)
        for home in sorted(set(homes))
    )
    answers = tuple((f"y{i}", f"work{i}") for i in range(workers)) or (("made", "make"),)
    plan = Plan(
        model="step",
        graph_sha256="",
        platform="local",
        prices="paper",
        objective="cuts",
        verdict="split",
        reason="made for a measurement",
        functions=functions,
        graphs=tuple(graphs),
        calls=tuple(calls),
        outputs=answers,
        predicted=nothing_of(functions),
        unsplit=nothing_of(functions),
    )
    given = outputs or (made,)
    return Bundle(root, Manifest("step", plan, (SEED_SPEC,), given, tuple(entries), tuple(calls), mopar.__version__))


@dataclass(frozen=True, slots=True)
class Request:
    """One request, in ms: its time outside the engines, and the longer engine time of its step."""

    outside_engine_ms: float
    step_engine: float


async def ask(executor: Executor) -> Request:
    """Send one request; its steps run one after the other, so the engine times of both count."""
    values = {"seed": from_array("seed", np.full(1, 0.5, np.float32))}
    started = time.perf_counter()
    async with executor.infer(values, None, DEADLINE_S) as answer:
        elapsed_ms = (time.perf_counter() - started) * 1e3
        engine = {timing.call: timing.compute_ns / 1e6 for timing in answer.timings}
    maker = engine.pop("make")
    longer = max(engine.values(), default=0.0)
    return Request(elapsed_ms - maker - longer, longer)


async def steps(root: Path, size: int, workers: int, cores: list[int], count: int) -> tuple[list[float], list[float]]:
    """What each step added, and the longer engine time of each, in ms."""
    pinned = {f"f{i}": (core,) for i, core in enumerate(cores)}
    bundles = step_bundle(root / "without", size, 0), step_bundle(root / "with", size, workers)
    taken: tuple[list[Request], list[Request]] = [], []
    async with contextlib.AsyncExitStack() as stack:
        executors = []
        for bundle in bundles:
            deployment = await stack.enter_async_context(LocalDeployment(bundle, limits=False, cores=pinned))
            executors.append(Executor(bundle.manifest, deployment.transport()))
            stack.push_async_callback(executors[-1].close)
        for number in range(WARM + count):
            for executor, requests in zip(executors, taken, strict=True):
                request = await ask(executor)
                if number >= WARM:
                    requests.append(request)
    without = statistics.median(request.outside_engine_ms for request in taken[0])
    return [request.outside_engine_ms - without for request in taken[1]], [request.step_engine for request in taken[1]]


def floor(cores: list[int], count: int) -> list[float]:
    """Round trips in ms of a frame of 128 bytes to one pinned process per core, sent to all before any is awaited."""
    wires, children = [], []
    for core in cores:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-I", "-S", "-c", ECHO, str(theirs.fileno())]
        children.append(subprocess.Popen(command, pass_fds=[theirs.fileno()]))
        os.sched_setaffinity(children[-1].pid, (core,))
        theirs.close()
        wires.append(ours)
    samples = array.array("d")
    try:
        for number in range(WARM + count):
            started = time.perf_counter()
            for wire in wires:
                wire.send(bytes(128))
            for wire in wires:
                wire.recv(256)
            if number >= WARM:
                samples.append((time.perf_counter() - started) * 1e3)
    finally:
        for wire in wires:
            wire.close()
        for child in children:
            child.wait(timeout=10)
    return samples.tolist()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=300, help="counted steps of each kind (default: 300)")
    options = arguments.parse_args()
    say_where(SEED)
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        sys.exit("this benchmark needs two cores")
    raw: dict[str, list[float]] = {}
    rows = []
    for workers in (1, 2):
        raw[f"floor, {workers}"] = floor(cores[:workers], options.steps)
        for label, size in SIZES.items():
            with tempfile.TemporaryDirectory(prefix="mopar-step-") as folder:
                added, engine = uvloop.run(steps(Path(folder), size, workers, cores, options.steps))
            raw[f"added, {workers}, {label}"], raw[f"engine, {workers}, {label}"] = added, engine
            goal = f"{GOALS_MS[label]} ms: {met(statistics.median(added) <= GOALS_MS[label])}" if workers == 2 else ""
            found = spread(added)
            ends = f"{found.p5:.3f} / {found.p95:.3f}"
            lowest = spread(raw[f"floor, {workers}"]).text()
            rows.append((str(workers), label, found.text(), ends, lowest, spread(engine).text(".2f"), goal))
    columns = ("workers", "tensors", "added ms", "p5 / p95", "floor ms", "longer engine ms", "goal (p50)")
    table(columns, rows)
    print(f"{options.steps} steps of each kind; p50 [p25, p75]")
    write_raw(options.json, "step_latency", {"seed": SEED, "cores": cores, "samples_ms": raw})


if __name__ == "__main__":
    main()
