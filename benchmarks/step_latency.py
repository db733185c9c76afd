"""What a step of two parallel functions adds to their engine time: gateway, two busy pinned workers, and back.

    python -m benchmarks.step_latency [--steps 300] [--json FILE]

One function makes a tensor in shared memory; then the step begins: two calls that both read it, on two workers pinned
to a core each, both computing for a millisecond or two, so that the gateway has no core to itself. The step adds

    (time from the gateway's hearing of the made tensor to the answer at the runner) - (the longer engine time)

that is: the gateway's work before the calls, both ways of the frames, the workers' own handling, and the gateway's work
after them. An engine that waits for its core while the gateway runs counts as engine time. Beside it stand the same
with one worker, and the floor: the round trip of a frame over the same kind of socket to a pinned process that only
sends it back.
"""

import array
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import mopar
from benchmarks.common import met, parser, say_where, spread, table, write_raw
from mopar.bundle import Bundle, file_entries
from mopar.evaluation.single import NOTHING, UNLIMITED_MIB
from mopar.gateway.arrays import from_array
from mopar.gateway.request import Timing
from mopar.gateway.runner import Runner
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


def maker(path: Path, size: int) -> Path:
    """A graph from one number to a tensor of ``size`` floats."""
    g = Builder("maker")
    g.add("Expand", g.input("seed", [1]), g.ints(size), output="made")
    g.output("made", [size])
    g.save(path)
    return path


def worker(path: Path, size: int, output: str) -> Path:
    """A graph that multiplies matrices for some milliseconds, and answers a tensor as large as what it reads."""
    g = Builder("worker")
    made = g.input("made", [size])
    part = g.add("Slice", made, g.ints(0), g.ints(WIDTH))
    x = g.add("Expand", part, g.ints(WIDTH, WIDTH))
    for _ in range(PRODUCTS):
        x = g.add("MatMul", x, g.weight(WIDTH, WIDTH))
    g.add("Add", made, g.add("ReduceMean", x, keepdims=0), output=output)
    g.output(output, [size])
    g.save(path)
    return path


def step_bundle(root: Path, size: int, workers: int) -> Bundle:
    """The maker in the first function; then one call to each of ``workers`` functions, all at once."""
    made = TensorSpec("made", "float32", (size,))
    outputs = tuple(TensorSpec(f"y{i}", "float32", (size,)) for i in range(workers))
    files = [maker(root / f"maker-{size}.onnx", size)]
    files += [worker(root / f"worker{i}-{size}.onnx", size, f"y{i}") for i in range(workers)]
    names = ["make", *(f"work{i}" for i in range(workers))]
    homes = ["f0", *(f"f{i}" for i in range(workers))]
    takes = [(SEED_SPEC, REQUEST), *[(made, "make")] * workers]
    gives = [made, *outputs]
    entries, graphs, calls = [], [], []
    for name, home, file, (spec, producer), given in zip(names, homes, files, takes, gives, strict=True):
        listed = file_entries(root, (file,))
        entries.append(GraphEntry(name, home, (spec,), (given,), listed, EngineOptions(), None))
        graphs.append(Graph(name, 0, 1, (spec.name,), (given.name,)))
        taken = CallInput(spec.name, (Source(producer, spec.name),))
        calls.append(Call(name, home, name, (taken,), (given.name,)))
    functions = tuple(
        Function(f"f{i}", tuple(n for n, h in zip(names, homes, strict=True) if h == f"f{i}"), UNLIMITED_MIB, 1.0)
        for i in range(workers)
    )
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
        outputs=tuple((f"y{i}", f"work{i}") for i in range(workers)),
        predicted=NOTHING,
        unsplit=NOTHING,
    )
    return Bundle(root, Manifest("step", plan, (SEED_SPEC,), outputs, tuple(entries), tuple(calls), mopar.__version__))


class Watch:
    """Hears of every call when it ends."""

    def __init__(self) -> None:
        self.made_at = 0.0
        self.engine_ms: list[float] = []

    def observe(self, timing: Timing) -> None:
        """Note when the maker ended, and how long the engines of the others ran."""
        if timing.call == "make":
            self.made_at, self.engine_ms = time.perf_counter(), []
        else:
            self.engine_ms.append(timing.compute_ns / 1e6)


async def steps(bundle: Bundle, cores: list[int], count: int) -> tuple[list[float], list[float]]:
    """What each step added, and the longer engine time of each, in ms."""
    pinned = {f.name: (cores[i % len(cores)],) for i, f in enumerate(bundle.manifest.plan.functions)}
    added, engine = [], []
    async with LocalDeployment(bundle, limits=False, cores=pinned) as deployment:
        watch = Watch()
        runner = Runner(bundle.manifest, deployment.functions, observe=watch.observe)
        values = {"seed": from_array("seed", np.full(1, 0.5, np.float32))}
        for number in range(WARM + count):
            async with runner.infer(values, None, DEADLINE_S):
                step_ms = (time.perf_counter() - watch.made_at) * 1e3
            if number >= WARM:
                engine.append(max(watch.engine_ms))
                added.append(step_ms - engine[-1])
        await runner.close()
    return added, engine


def floor(cores: list[int], count: int) -> list[float]:
    """Round trips of a frame of 128 bytes to one pinned process per core, sent to all before any is awaited, in ms."""
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
                added, engine = asyncio.run(steps(step_bundle(Path(folder), size, workers), cores, options.steps))
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
