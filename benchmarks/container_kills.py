"""Containers of functions that are killed in turn: are requests answered all the same, and is none wrong or late?

    python -m benchmarks.container_kills [--model M.onnx] [--functions 10] [--transport socket|http] [--seconds 60]
                                         [--concurrency 8] [--every-s 2] [--engine NAME] [--runtime NAME]
                                         [--network bridge|host] [--json FILE]

A model (by default ResNet-50, prepared weights) is cut into functions of equal time and deployed to containers. Clients
send requests to its gateway as fast as they are answered, and every answer is compared with the unsplit model's.
Meanwhile the process of one function's container after the other gets SIGKILL; the engine starts it again. A request
that ends, in whatever way, later than the gateway's deadline counts as a hang. Goals: none wrong, no hang, 99%
answered, and at least one kill.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, table, write_raw
from benchmarks.deployed import deployed, engine_of, options_of, with_engine
from benchmarks.load import Question, Tally, ask_for, killing
from benchmarks.soak import SHARE_ANSWERED, drawn
from mopar.bundle import Bundle, build, open_bundle
from mopar.gateway.options import ServeOptions
from mopar.pipeline.profile import predict_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.platforms.container.engine import Engine
from mopar.platforms.container.labels import FUNCTION, labels_of
from mopar.platforms.container.options import TRANSPORTS
from mopar.platforms.container.platform import PLATFORM
from tests.models import materialise

NAME = "killed"
QUESTIONS, SEED = 4, 0
HANG_S = ServeOptions().deadline_s + 1.0
"""Later than this is a hang; that the deadline has passed takes a moment to say."""


def prepared(path: Path, functions: int, folder: Path) -> tuple[Bundle, list[Question]]:
    """Build a model's bundle in slices of equal time, and requests with the unsplit model's outputs."""
    model, profile = predict_model(path)
    build(model, make_plan(profile, PlanOptions(platform="container", uniform=functions, slo_ms=None)), folder)
    reference, random = ReferenceModel(path), np.random.default_rng(SEED)
    questions = [drawn(profile, random) for _ in range(QUESTIONS)]
    return open_bundle(folder), [(inputs, reference.infer(inputs)) for inputs in questions]


def process_of(engine: Engine, functions: Sequence[str], number: int) -> int | None:
    """The process of the container that is killed as the ``number``-th; None while it is being started again."""
    name = functions[number % len(functions)]
    (found,) = engine.containers({**labels_of(NAME), FUNCTION: name})
    return found.pid or None


def holds(tally: Tally) -> bool:
    """Whether the goals are met."""
    return not tally.unequal and not hangs(tally) and bool(tally.kills) and share(tally) >= SHARE_ANSWERED


def hangs(tally: Tally) -> int:
    """How many requests ended later than their deadline."""
    return sum(latency > HANG_S * 1e3 for latency in (*tally.latency_ms, *tally.failed_ms))


def share(tally: Tally) -> float:
    """Of the requests that were answered."""
    return tally.answered / max(tally.answered + tally.errors.total(), 1)


def row(tally: Tally) -> tuple[str, ...]:
    refused = sum(count for text, count in tally.errors.items() if text.startswith("OverloadedError"))
    return (
        str(tally.answered + tally.errors.total()),
        str(tally.answered - tally.unequal),
        str(tally.unequal),
        str(refused),
        str(tally.errors.total() - refused),
        str(hangs(tally)),
        str(tally.kills),
        f"{max((*tally.latency_ms, *tally.failed_ms), default=0.0) / 1e3:.1f}",
        f"{share(tally):.2%}",
        met(holds(tally)),
    )


COLUMNS = ("requests", "right", "wrong", "refused", "other errors", "hangs", "kills", "longest s", "answered", "")


def run(arguments: argparse.Namespace) -> Tally:
    """Deploy, send requests and kill."""
    options = replace(options_of(arguments), transport=arguments.transport)
    tally = Tally()
    with tempfile.TemporaryDirectory() as scratch:
        path = arguments.model or materialise("resnet50")
        bundle, questions = prepared(path, arguments.functions, Path(scratch, "bundle"))
        functions = [function.name for function in bundle.manifest.plan.functions]
        with deployed(PLATFORM, bundle, options, NAME) as client:
            client.infer(questions[0][0])
            engine = engine_of(options)
            print(f"{path.stem}: {len(functions)} functions in containers, called by {arguments.transport}", flush=True)
            with killing(lambda number: process_of(engine, functions, number), tally, arguments.every_s):
                ask_for(client.url, questions, arguments.concurrency, arguments.seconds, tally)
    return tally


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--model", type=Path, metavar="M.onnx", help="default: ResNet-50 with prepared weights")
    made.add_argument("--functions", type=int, default=10, metavar="N")
    made.add_argument("--transport", default=TRANSPORTS[0], choices=TRANSPORTS)
    made.add_argument("--seconds", type=float, default=60.0, metavar="S", help="that requests are sent for")
    made.add_argument("--concurrency", type=int, default=8, metavar="N")
    made.add_argument("--every-s", type=float, default=2.0, metavar="S", help="from one kill to the next")
    arguments = with_engine(made).parse_args()
    say_where(SEED)
    tally = run(arguments)
    table(COLUMNS, [row(tally)])
    for text, count in tally.errors.most_common():
        print(f"error, {count} times: {text}")
    figures = {"kills": tally.kills, "wrong": tally.unequal, "errors": tally.errors}
    write_raw(arguments.json, "container_kills", {"seed": SEED, **figures, "latency_ms": tally.latency_ms,
                                                  "failed_ms": tally.failed_ms})  # fmt: skip
    if not holds(tally):
        sys.exit(1)


if __name__ == "__main__":
    main()
