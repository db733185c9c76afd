"""Containers beside processes: what a call, an image, a deployment and a cold start cost.

    python -m benchmarks.containers [--requests 200] [--engine NAME] [--runtime NAME] [--network bridge|host]
                                    [--json FILE]

Hops: a chain of three functions that change signs, and the same as one function, for tensors of three sizes; a hop is
half of the difference of their latencies, less that of their times in the engine. Each is served by ``mopar serve``, by
containers that share memory, and by containers over HTTP; requests to all six are interleaved.

Starts: the time from deploying to the first answer, with images that are there already, and from starting a function's
container to its ready line, with 30 MiB of weights. The goal is 0.4 s for the latter.

Whole models are in ``benchmarks.platform_models``.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from benchmarks.deployed import (
    WAYS,
    Arrays,
    Target,
    deployed,
    engine_of,
    functions_of,
    interleaved,
    options_of,
    served,
    with_engine,
)
from mopar.bundle import prepare
from mopar.files import cache_directory
from mopar.platforms.container.command import Commands
from mopar.platforms.container.images.images import function_images
from mopar.platforms.container.options import ContainerOptions
from mopar.platforms.container.platform import PLATFORM
from tests.bundle.plans import built
from tests.models.builder import Builder

SIZES = {"1 KB": 256, "150 KB": 38_400, "3 MB": 786_432}
STARTS = 5
START_MIB, START_GOAL_S = 30, 0.4
_MIB = 1 << 20
_STARTED, _LOGS_S = "starts", 20.0


def main() -> None:
    arguments = _arguments()
    say_where(0)
    options = options_of(arguments)
    raw: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        raw["hops"] = hops(home, options, arguments.requests)
        raw["starts"] = starts(home, options)
    write_raw(arguments.json, "containers", raw)


def _arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--requests", type=int, default=200, metavar="N")
    return with_engine(made).parse_args()


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
    with deployed(PLATFORM, bundle, _keeping(options), _STARTED):
        pass  # its images stay
    for number in range(STARTS):
        began = time.perf_counter()
        with deployed(PLATFORM, bundle, _keeping(options) if number < STARTS - 1 else options, _STARTED) as client:
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


def _cold_start(options: ContainerOptions) -> tuple[float, float]:
    """Seconds from starting a stopped function to its ready line, and of those after its process began."""
    engine, commands = engine_of(options), Commands(options.engine, options.runtime)
    (function,) = functions_of(engine, _STARTED)
    engine.stop([function.name])
    began = ready = time.time()
    engine.start([function.name])
    while ready <= began:
        line = commands.ask(["logs", "--timestamps", "--tail", "1", function.name], _LOGS_S)
        ready = _seconds(line.split()[0])
    (again,) = functions_of(engine, _STARTED)
    return ready - began, ready - _seconds(again.started)


def _seconds(text: str) -> float:
    """An engine's time, which has more digits than Python reads."""
    whole, _, rest = text.partition(".")
    digits = rest.rstrip("Z").partition("+")[0].partition("-")[0]
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{digits or 0}")


if __name__ == "__main__":
    main()
