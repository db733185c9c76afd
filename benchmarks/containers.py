"""Containers beside processes: what a call, an image, a deployment and a cold start cost, and whole models.

    python -m benchmarks.containers [--models resnet50,minilm,vgg16] [--requests 200] [--engine NAME] [--runtime NAME]
                                    [--network bridge|host] [--json FILE]

Hops: a chain of three functions that change signs, and the same as one function, for tensors of three sizes; a hop is
half of the difference of their latencies, less that of their times in the engine. Each is served by ``mopar serve``, by
containers that share memory, and by containers over HTTP; requests to all six are interleaved.

Starts: the time from deploying to the first answer, with images that are there already, and from starting a function's
container to its ready line, with 30 MiB of weights. The goal is 0.4 s for the latter.

Models: mopar's plan and the unsplit one, both with processes and with containers that share memory: latency, and billed
time times memory, predicted beside measured; and memory as each container's cgroup counts it after the last request.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from mopar.bundle import Bundle, build, compare_all, open_bundle, prepare
from mopar.files import cache_directory
from mopar.gateway.client import Client
from mopar.limits.mounts import hierarchies
from mopar.pipeline.bench.served import Server, orders
from mopar.pipeline.profile import measure_model
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.planning import plan_unsplit
from mopar.platforms.books import load_book, load_limits
from mopar.platforms.container.command import Commands
from mopar.platforms.container.engine import Container, Engine
from mopar.platforms.container.images.images import function_images
from mopar.platforms.container.labels import FUNCTION, labels_of
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.container.platform import PLATFORM
from mopar.types import Plan, Profile
from tests.bundle.plans import built
from tests.models import materialise, sample_inputs
from tests.models.builder import Builder

Arrays = dict[str, NDArray[np.generic]]
SIZES = {"1 KB": 256, "150 KB": 38_400, "3 MB": 786_432}
WARM = 20
STARTS = 5
START_MIB, START_GOAL_S = 30, 0.4
_MIB, _GIB_IN_MIB = 1 << 20, 1024
_STARTED, _LOGS_S = "starts", 20.0
WAYS = ("processes", "containers, socket", "containers, http")


@dataclass(frozen=True, slots=True)
class Target:
    """A bundle that is served in one way."""

    label: str
    way: str
    client: Client


def main() -> None:
    arguments = _arguments()
    say_where(0)
    options = ContainerOptions(engine=arguments.engine, runtime=arguments.runtime, network=arguments.network)
    raw: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        raw["hops"] = hops(home, options, arguments.requests)
        raw["starts"] = starts(home, options)
        for name in filter(None, arguments.models.split(",")):
            raw[name] = whole(name, home, options, arguments.requests)
    write_raw(arguments.json, "containers", raw)


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--models", default="resnet50,minilm,vgg16", metavar="NAMES")
    made.add_argument("--requests", type=int, default=200, metavar="N")
    add_engine_arguments(made)
    return made.parse_args()


def add_engine_arguments(made: argparse.ArgumentParser) -> None:
    """``--engine``, ``--runtime`` and ``--network``, as ``mopar deploy --platform container`` takes them."""
    made.add_argument("--engine", metavar="NAME")
    made.add_argument("--runtime", metavar="NAME")
    made.add_argument("--network", default="bridge", metavar="NAME")


def hops(home: Path, options: ContainerOptions, requests: int) -> dict[str, dict[str, list[float]]]:
    """Prints what a hop adds; returns its samples in ms by size and way."""
    found: dict[str, dict[str, list[float]]] = {}
    for size, floats in SIZES.items():
        path = home / f"chain-{floats}.onnx"
        _signs(path, floats)
        bundles = {pieces: built(path, home / f"chain-{floats}-{pieces}", pieces) for pieces in (1, 3)}
        inputs: Arrays = {"x": np.linspace(-1, 1, floats, dtype=np.float32)}
        with contextlib.ExitStack() as stack:
            targets = [
                Target(str(pieces), way, stack.enter_context(served(bundle, way, options, f"hop{pieces}-{way[-4:]}")))
                for way in WAYS
                for pieces, bundle in bundles.items()
            ]
            taken = interleaved(targets, inputs, requests)
        found[size] = {
            way: [
                (three - one) / 2 for three, one in zip(taken["3", way].added_ms, taken["1", way].added_ms, strict=True)
            ]
            for way in WAYS
        }
    print("What a hop adds to a request, ms: median [quartiles]")
    table(
        ("tensor", *WAYS),
        [(size, *(spread(samples[way]).text() for way in WAYS)) for size, samples in found.items()],
    )
    return found


def _signs(path: Path, floats: int) -> None:
    g = Builder("signs")
    x = g.input("x", [floats])
    for _ in range(5):
        x = g.add("Neg", x)
    g.add("Neg", x, output="y")
    g.output("y", [floats])
    g.save(path)


@contextlib.contextmanager
def served(bundle: Bundle, way: str, options: ContainerOptions, name: str) -> Iterator[Client]:
    """A client of a bundle that is served in one of WAYS."""
    if way == "processes":
        server = Server(bundle)
        try:
            yield server.client
        finally:
            server.stop()
        return
    with deployed(bundle, _with(options, way.rpartition(" ")[2]), name) as client:
        yield client


@contextlib.contextmanager
def deployed(bundle: Bundle, options: ContainerOptions, name: str) -> Iterator[Client]:
    """A client of a bundle that runs in containers, which are removed afterwards."""
    found = PLATFORM.deploy(bundle, name, options, lambda _stage: None)
    assert found.gateway is not None, "it was deployed"
    try:
        with Client(found.gateway.url) as client:
            yield client
    finally:
        PLATFORM.remove(name, options, lambda _stage: None)


def _with(options: ContainerOptions, transport: str) -> ContainerOptions:
    return ContainerOptions(
        engine=options.engine, runtime=options.runtime, network=options.network, transport=transport
    )


@dataclass(slots=True)
class Taken:
    """Samples of one target in ms; ``held_ms`` by function."""

    latency_ms: list[float]
    engine_ms: list[float]
    held_ms: dict[str, list[float]]
    equal: bool = True

    @property
    def added_ms(self) -> list[float]:
        """Latency without the engine's time."""
        return [latency - engine for latency, engine in zip(self.latency_ms, self.engine_ms, strict=True)]


def interleaved(
    targets: Sequence[Target], inputs: Arrays, requests: int, want: Mapping[str, NDArray[np.generic]] | None = None
) -> dict[tuple[str, str], Taken]:
    """A request to each target per round, in changing order."""
    taken = {(target.label, target.way): Taken([], [], {}) for target in targets}
    for target in targets:
        for _ in range(WARM):
            target.client.infer(inputs)
    for order in orders(len(targets), requests):
        for place in order:
            target = targets[place]
            began = time.perf_counter()
            got = target.client.infer(inputs)
            found = taken[target.label, target.way]
            found.latency_ms.append((time.perf_counter() - began) * 1e3)
            found.engine_ms.append(sum(parts["engine"] for parts in target.client.timings.values()))
            for function, parts in target.client.timings.items():
                found.held_ms.setdefault(function, []).append(parts["held"])
            if want is not None:
                found.equal = found.equal and all(one.equal for one in compare_all(got, want))
    return taken


def starts(home: Path, options: ContainerOptions) -> dict[str, object]:
    """Prints sizes of images, time to the first answer and cold starts; returns them."""
    path = home / "start.onnx"
    _weights(path)
    bundle = prepare(built(path, home / "start", 1), cache_directory())
    images = function_images(bundle, options.base_image, lambda _stage: None)
    print("An image of a function, MiB")
    table(
        ("layer", "MiB"), [(layer.name, f"{layer.bytes / _MIB:.1f}") for image in images[:1] for layer in image.layers]
    )
    first_s, cold_s, inside_s = [], [], []
    inputs: Arrays = {"x": np.ones((1, _WIDTH), np.float32)}
    with deployed(bundle, _keeping(options), _STARTED):
        pass  # its images stay
    for number in range(STARTS):
        began = time.perf_counter()
        with deployed(bundle, _keeping(options) if number < STARTS - 1 else options, _STARTED) as client:
            client.infer(inputs)
            first_s.append(time.perf_counter() - began)
            cold, inside = _cold_start(options)
            cold_s.append(cold)
            inside_s.append(inside)
    rows = [
        ("from deploying to the first answer", spread(first_s).text(".2f"), ""),
        (f"a function's container to ready ({START_MIB} MiB)", spread(cold_s).text(".2f"), _goal(cold_s)),
        ("of that, in the function's process", spread(inside_s).text(".2f"), ""),
    ]
    print("Starts, s: median [quartiles]")
    table(("what", "s", f"goal {START_GOAL_S} s"), rows)
    return {"first_answer_s": first_s, "cold_s": cold_s, "in_process_s": inside_s}


_WIDTH = 1024


def _weights(path: Path) -> None:
    """A graph with START_MIB of weights, all of which a call reads."""
    g = Builder("start")
    x = g.input("x", [1, _WIDTH])
    for _ in range(START_MIB * _MIB // (4 * _WIDTH * _WIDTH)):
        x = g.add("MatMul", x, g.weight(_WIDTH, _WIDTH))
    g.add("Relu", x, output="y")
    g.output("y", [1, _WIDTH])
    g.save(path)


def _goal(samples: Sequence[float]) -> str:
    return met(statistics.median(samples) <= START_GOAL_S)


def _keeping(options: ContainerOptions) -> ContainerOptions:
    return ContainerOptions(engine=options.engine, runtime=options.runtime, network=options.network, keep_images=True)


def engine_of(options: ContainerOptions) -> Engine:
    """What containers are looked at with."""
    return Engine(Commands(options.engine, options.runtime))


def _cold_start(options: ContainerOptions) -> tuple[float, float]:
    """Seconds from starting a stopped function to its ready line, and of those after its process began."""
    engine, commands = engine_of(options), Commands(options.engine, options.runtime)
    (function,) = _functions(engine, _STARTED)
    engine.stop([function.name])
    began = ready = time.time()
    engine.start([function.name])
    while ready <= began:
        line = commands.ask(["logs", "--timestamps", "--tail", "1", function.name], _LOGS_S)
        ready = _seconds(line.split()[0])
    (again,) = _functions(engine, _STARTED)
    return ready - began, ready - _seconds(again.started)


def _functions(engine: Engine, deployment: str) -> list[Container]:
    return [one for one in engine.containers(labels_of(deployment)) if FUNCTION in one.labels]


def _seconds(text: str) -> float:
    """An engine's time, which has more digits than Python reads."""
    whole, _, rest = text.partition(".")
    digits = rest.rstrip("Z").partition("+")[0].partition("-")[0]
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{digits or 0}")


def whole(name: str, home: Path, options: ContainerOptions, requests: int) -> dict[str, object]:
    """Prints a model split and unsplit, in processes and containers; returns the samples."""
    path, inputs = materialise(name), sample_inputs(name)
    model, profile = measure_model(path)
    bundles = {}
    for label, plan in (
        ("mopar", make_plan(profile, PlanOptions(platform="container"))),
        ("unsplit", _unsplit(profile)),
    ):
        build(model, plan, home / f"{name}-{label}")
        bundles[label] = prepare(open_bundle(home / f"{name}-{label}"), cache_directory())
    with contextlib.ExitStack() as stack:
        targets = [
            Target(label, way, stack.enter_context(served(bundle, way, options, f"{label}-{name}")))
            for label, bundle in bundles.items()
            for way in WAYS[:2]
        ]
        want = targets[0].client.infer(inputs)
        taken = interleaved(targets, inputs, requests, want)
        counted = {label: _counted_mib(engine_of(options), f"{label}-{name}") for label in bundles}
    rows = []
    for (label, way), samples in taken.items():
        plan = bundles[label].manifest.plan
        memory = ", ".join(f"{mib:.0f}" for mib in counted[label]) if way != WAYS[0] else ""
        rows.append(
            (
                label,
                way,
                str(len(plan.functions)),
                spread(samples.latency_ms).text(".1f"),
                f"{plan.predicted.latency_ms:.1f}",
                f"{_gb_s(plan, samples):.3g}",
                f"{plan.predicted.gb_s_per_request:.3g}",
                memory,
                "yes" if samples.equal else "NO",
            )
        )
    print(f"{name}: medians [quartiles] of {requests} interleaved requests")
    columns = ("plan", "as", "functions", "ms", "predicted", "GB-s", "predicted", "MiB in cgroups", "equal")
    table(columns, rows)
    return {f"{label}, {way}": samples.latency_ms for (label, way), samples in taken.items()}


def _unsplit(profile: Profile) -> Plan:
    limits = load_limits("container")
    return plan_unsplit(profile, load_book(limits.prices), limits)


def _gb_s(plan: Plan, samples: Taken) -> float:
    """Median billed time times limit, over all functions."""
    limits = {function.name: function.memory_mib / _GIB_IN_MIB for function in plan.functions}
    return sum(statistics.median(held) / 1e3 * limits[name] for name, held in samples.held_ms.items())


def _counted_mib(engine: Engine, deployment: str) -> list[float]:
    """What the cgroup of each function's container has charged, page cache included."""
    return [_charged(one.pid) / _MIB for one in _functions(engine, deployment)]


def _charged(pid: int) -> int:
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return int((hierarchies()["memory"].mount / path.lstrip("/") / "memory.usage_in_bytes").read_text())
    unified = Path(f"/proc/{pid}/cgroup").read_text().strip().rpartition(":")[2]
    return int((Path("/sys/fs/cgroup") / unified.lstrip("/") / "memory.current").read_text())


if __name__ == "__main__":
    main()
