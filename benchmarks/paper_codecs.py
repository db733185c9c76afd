"""ConvNeXt in three slices over a network: what computing and communication cost, beside the paper's two figures.

    python -m benchmarks.paper_codecs [--model convnext-base] [--slices 3] [--mbit 1000] [--inputs 8] [--requests 20]
                                      [--json FILE]

The unsplit model and slices of equal time, each function behind its HTTP server: with nothing encoded, with what `mopar
plan` does without a budget (lossless), with 8 bits forced, and with what the planner chooses for at most half a percent
of relative error. Computing is time in the engine, where lossy codecs run too; communication is what functions hold
beside it, while bodies arrive and are sent. Both are GB-s of the functions' limits, and USD for a million requests at
the paper's price. The paper reports computing -36.43% and communication +18.61% for its three slices.
ConvNeXt's weights are random and prepared, and so are its inputs: what is lost says nothing of accuracy (`python -m
benchmarks.codecs` does, for models with real weights), so it is stated as the error relative to the model's answers.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.coded import PLATFORM, Row, Subject, Taken, Traffic, measured, sliced, subject
from benchmarks.common import parser, say_where, table, write_raw
from mopar.pipeline.codecs.options import CodecOptions, PlanWithCodecs
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.platforms.books import load_book
from mopar.types import Network
from tests.models import sample_inputs

UNSPLIT = "unsplit"
PAPER = (-0.3643, 0.1861)
_ERROR = 0.5
_METRIC = "relative"
_MB = 1e6
_DIFFERS = (
    "The paper defines neither: here communication is what functions hold beside the engine, its change "
    "a share of the unsplit model's whole cost, and the unsplit model, tuned and behind the same network, has some too."
)


def main() -> None:
    """Measure all configurations, interleaved."""
    made = parser(__doc__)
    made.add_argument("--model", default="convnext-base", metavar="NAME")
    made.add_argument("--slices", type=int, default=3, metavar="K")
    made.add_argument("--mbit", type=float, default=1000.0, metavar="X")
    made.add_argument("--inputs", type=int, default=8, metavar="N", help="random requests, half of them held apart")
    made.add_argument("--requests", type=int, default=20, metavar="N")
    arguments = made.parse_args()
    say_where(0)
    drawn = [sample_inputs(arguments.model, seed) for seed in range(arguments.inputs)]
    inputs = {name: np.concatenate([one[name] for one in drawn]) for name in drawn[0]}
    with tempfile.TemporaryDirectory() as scratch:
        known = subject(arguments.model, inputs, Path(scratch))
        rows = list(_rows(known, arguments))
        taken = measured(known, rows, Network(arguments.mbit), arguments.requests, {}, Path(scratch))
    print(f"{known.name}, {arguments.mbit:g} Mbit/s: medians of {arguments.requests} requests")
    _say(rows, taken, Traffic(known))
    write_raw(arguments.json, "paper_codecs", {"taken": taken, "codecs": {row.name: row.plan.codecs for row in rows}})


def _rows(known: Subject, arguments: argparse.Namespace) -> Iterator[Row]:
    network, slices = Network(arguments.mbit), arguments.slices
    options = sliced(slices, network)
    unsplit = PlanOptions(PLATFORM, cuts=(), slo_ms=None, network=network)
    for name, plan in ((UNSPLIT, unsplit), (f"{slices} slices", options)):
        yield Row(name, PlanWithCodecs(make_plan(known.profile, plan), {}, None), CodecOptions())
    asked = {
        f"{UNSPLIT}, lossless": (unsplit, CodecOptions()),
        f"{slices} slices, lossless": (options, CodecOptions()),
        f"{slices} slices, int8": (options, CodecOptions(metric=_METRIC, forced={"all": "int8"})),
        f"{slices} slices, within {_ERROR:g}%": (options, CodecOptions(_ERROR, _METRIC)),
    }
    for name, (plan_options, codecs) in asked.items():
        yield Row(name, known.planner.choose(plan_options, codecs), codecs)


def _say(rows: list[Row], taken: dict[str, Taken], traffic: Traffic) -> None:
    price = load_book("paper").gib_s_usd * 1e6
    base = taken[UNSPLIT]
    total = base.engine_gb_s + base.beside_gb_s
    table(
        (
            *("configuration", "MiB", "MB sent", "error %", "ms", "GB-s engine", "GB-s beside"),
            *("USD/M engine", "USD/M beside", "computing", "communication", "cost"),
        ),
        [
            (
                row.name,
                " + ".join(str(function.memory_mib) for function in row.plan.functions),
                f"{(traffic.of(row).between + traffic.of(row).own) / _MB:.2f}",
                "-" if row.chosen.accuracy is None else f"{row.chosen.accuracy.measured:.2g}",
                f"{one.latency_ms:.1f}",
                f"{one.engine_gb_s:.4f}",
                f"{one.beside_gb_s:.4f}",
                f"{one.engine_gb_s * price:.3f}",
                f"{one.beside_gb_s * price:.3f}",
                f"{one.engine_gb_s / base.engine_gb_s - 1:+.1%}",
                f"{(one.beside_gb_s - base.beside_gb_s) / total:+.1%}",
                f"{(one.engine_gb_s + one.beside_gb_s) / total - 1:+.1%}",
            )
            for row in rows
            for one in (taken[row.name],)
        ],
    )
    computing, communication = PAPER
    print(f"the paper's three slices: computing {computing:+.2%}, communication {communication:+.2%}. {_DIFFERS}")


if __name__ == "__main__":
    main()
