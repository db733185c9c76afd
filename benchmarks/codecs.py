"""What codecs save and lose, on real inputs, over networks of several speeds.

    python -m benchmarks.codecs [--models efficientnet-lite0,minilm,ppocr-rec,ppocr-det] [--slices 3] [--inputs 64]
                                [--requests 30] [--mbit 100,1000,10000] [--budget 0.5] [--codecs lossless,int8,..]
                                [--json FILE]

A model in slices of equal time, each function behind its HTTP server, with a network emulated between gateway and
functions: nothing encoded, what `mopar plan` does without a budget (lossless), each lossy codec forced on every
tensor, and what the planner chooses for that network within the budget, for the same cuts. Plans that are equal are
measured once. With --codecs only these are measured beside nothing and the choice.

Ratios are of the bytes of all tensors that pass between functions, as they are sent of the request that is served; MB
are all tensors', the model's own inputs and outputs too. Encoding and decoding is what the planner counts; points are
lost on inputs held apart. Time in the engine tells a busy machine: alone it takes what the model does, and lossy
encoding and decoding. Latency is measured, interleaved, and so are GB-s, in the engine and beside it, and USD for a
million requests in the price book `paper`.

Goals: 8 times fewer bytes for at most the budget; at the slowest network at most half the latency of nothing encoded;
never slower than that. Where one is missed, it is said what no codec between functions can save.
"""

import argparse
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from benchmarks.coded import Row, Subject, Taken, Traffic, coding_ms, measured, sliced, subject
from benchmarks.common import met, parser, say_where, table, write_raw
from benchmarks.real_inputs import INPUTS, METRICS
from mopar.bundle import Bundle
from mopar.codecs import codec_names
from mopar.pipeline.codecs.options import CodecOptions, PlanWithCodecs
from mopar.pipeline.stages import PlanOptions, limits_of, make_plan
from mopar.types import Network, UsageError

NOTHING, LOSSLESS, CHOSEN = "nothing", "lossless", "chosen"
_GOAL_RATIO, _GOAL_LATENCY = 8.0, 0.5
_MB = 1e6
_COLUMNS = (
    *("codec", "ratio", "MB", "encode ms", "decode ms", "points lost", "ms", "predicted", "engine ms"),
    *("GB-s engine", "GB-s beside", "USD/M"),
)


def main() -> None:
    """Measure all models over all networks."""
    made = parser(__doc__)
    made.add_argument("--models", default=",".join(INPUTS), metavar="NAMES")
    made.add_argument("--slices", type=int, default=3, metavar="K")
    made.add_argument("--inputs", type=int, default=64, metavar="N", help="real inputs, half of them held apart")
    made.add_argument("--requests", type=int, default=30, metavar="N")
    made.add_argument("--mbit", default="100,1000,10000", metavar="X,..")
    made.add_argument("--budget", type=float, default=0.5, metavar="POINTS")
    made.add_argument("--codecs", default=",".join((LOSSLESS, *codec_names())), metavar="NAMES")
    arguments = made.parse_args()
    say_where(0)
    raw: dict[str, object] = {}
    for name in filter(None, arguments.models.split(",")):
        with tempfile.TemporaryDirectory() as scratch:
            raw |= _of_model(subject(name, INPUTS[name](arguments.inputs), Path(scratch)), Path(scratch), arguments)
    write_raw(arguments.json, "codecs", raw)


def _of_model(known: Subject, scratch: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Print a model's table for each network; returns the samples."""
    raw: dict[str, object] = {}
    bundles: dict[object, Bundle] = {}
    speeds = sorted(map(float, arguments.mbit.split(",")))
    for mbit in speeds:
        options = sliced(arguments.slices, Network(mbit))
        rows = {row.name: row for row in _rows(known, options, arguments.budget, arguments.codecs.split(","))}
        taken = measured(known, rows.values(), Network(mbit), arguments.requests, bundles, scratch)
        functions = len(rows[NOTHING].plan.functions)
        print(f"{known.name}, {functions} functions, {mbit:g} Mbit/s: medians of {arguments.requests} requests")
        traffic = Traffic(known)
        table(_COLUMNS, [_cells(known, row, taken[name], traffic) for name, row in rows.items()])
        goals = list(_goals(rows, taken, traffic, slowest=mbit == speeds[0]))
        print("; ".join(f"{goal}: {met(reached)}" for goal, reached in goals))
        if not all(reached for _, reached in goals):
            print(_floor(rows, taken, traffic, options))
        print(flush=True)
        raw[f"{known.name}, {mbit:g} Mbit/s"] = {
            name: {"codecs": row.plan.codecs, "sent": traffic.of(row), "taken": taken[name]}
            for name, row in rows.items()
        }
    return raw


def _rows(known: Subject, options: PlanOptions, budget: float, names: Collection[str]) -> Iterator[Row]:
    yield Row(NOTHING, PlanWithCodecs(make_plan(known.profile, options), {}, None), CodecOptions())
    metric = METRICS.get(known.name)
    asked = {LOSSLESS: CodecOptions()}
    asked |= {codec: CodecOptions(metric=metric, forced={"all": codec}) for codec in codec_names()}
    asked = {name: codecs for name, codecs in asked.items() if name in names}
    asked[CHOSEN] = CodecOptions(budget, metric)
    for name, codecs in asked.items():
        try:
            yield Row(name, known.planner.choose(options, codecs), codecs)
        except UsageError:
            continue  # it is offered for no tensor


def _cells(known: Subject, row: Row, taken: Taken, traffic: Traffic) -> tuple[str, ...]:
    encode_ms, decode_ms = coding_ms(known, row)
    sent, accuracy = traffic.of(row), row.chosen.accuracy
    return (
        row.name,
        f"{sent.ratio:.2f}",
        f"{(sent.between + sent.own) / _MB:.2f}",
        f"{encode_ms:.2f}",
        f"{decode_ms:.2f}",
        "-" if accuracy is None else f"{accuracy.measured:.3g} {accuracy.metric}",
        f"{taken.latency_ms:.1f}",
        f"{row.plan.predicted.latency_ms:.1f}",
        f"{taken.engine_ms:.1f}",
        f"{taken.engine_gb_s:.3g}",
        f"{taken.beside_gb_s:.3g}",
        f"{taken.usd_per_million:.3g}",
    )


def _goals(
    rows: Mapping[str, Row], taken: Mapping[str, Taken], traffic: Traffic, *, slowest: bool
) -> Iterator[tuple[str, bool]]:
    """What was reached, and whether it is enough."""
    if slowest:
        ratio = traffic.of(rows[CHOSEN]).ratio
        yield f"{ratio:.1f}x fewer bytes between functions (at least {_GOAL_RATIO:g})", ratio >= _GOAL_RATIO
    share, most = taken[CHOSEN].latency_ms / taken[NOTHING].latency_ms, _GOAL_LATENCY if slowest else 1.0
    yield f"{share:.2f}x the latency of nothing encoded (at most {most:g})", share <= most


def _floor(rows: Mapping[str, Row], taken: Mapping[str, Taken], traffic: Traffic, options: PlanOptions) -> str:
    """What of the latency stays, however little functions send each other."""
    assert options.network is not None
    assert options.network.bandwidth_mbit is not None
    own, computing_ms = traffic.of(rows[CHOSEN]), taken[NOTHING].engine_ms
    own_ms, raw_ms = (nbytes * 8 / (options.network.bandwidth_mbit * 1e3) for nbytes in (own.own, own.own_raw))
    calls = len(rows[NOTHING].plan.calls)
    trips_ms = calls * limits_of(options).hop_ms
    return (
        f"of {taken[NOTHING].latency_ms:.1f} ms, {own_ms + trips_ms + computing_ms:.1f} stay whatever passes between "
        f"functions: {own_ms:.1f} for the model's own input and output, which no lossy codec touches "
        f"({own.own / _MB:.2f} MB, {raw_ms:.1f} ms as they are), {trips_ms:.1f} for {calls} round trips, "
        f"{computing_ms:.1f} computing"
    )


if __name__ == "__main__":
    main()
