"""What codecs save and lose, on real inputs, over networks of several speeds.

    python -m benchmarks.codecs [--models efficientnet-lite0,minilm,ppocr-rec] [--slices 3] [--inputs 64]
                                [--requests 30] [--mbit 100,1000,10000] [--budget 0.5] [--json FILE]

A model in slices of equal time, each function behind its HTTP server, with a network emulated between gateway and
functions: nothing encoded, each codec forced on every tensor, and what the planner chooses for that network within the
budget, for the same cuts. Time in the engine tells a busy machine: alone it takes what the model does, and encoding and
decoding. Ratios are of the bytes of all tensors that pass between functions; encoding and decoding is
what the planner counts on for them; points are lost on inputs held apart. Latency is measured, interleaved, and so are
GB-s, in the engine and beside it. Goals: 8 times fewer bytes for at most the budget; at the slowest network at most
half the latency of nothing encoded; never slower than that.
"""

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, table, write_raw
from benchmarks.real_inputs import INPUTS, METRICS
from mopar.bundle import build, open_bundle
from mopar.codecs import Fitted, code_bytes, codec_names, codec_of
from mopar.graph import Model
from mopar.measurement.codec_costs import CodecCosts, codec_costs
from mopar.pipeline.bench.served import Samples, sample
from mopar.pipeline.codecs.calibration import Calibration, load_calibration
from mopar.pipeline.codecs.choose import choose
from mopar.pipeline.codecs.options import Chosen, CodecOptions
from mopar.pipeline.profile import measure_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.platforms.base import Network
from mopar.types import Plan, Profile, TensorSpec, UsageError
from tests.models import materialise

NOTHING, CHOSEN = "nothing", "chosen"
_PLATFORM = "container-http"
_GOAL_RATIO, _GOAL_LATENCY = 8.0, 0.5


@dataclass(frozen=True, slots=True)
class Subject:
    """A model with its profile and real inputs."""

    name: str
    model: Model
    profile: Profile
    calibration: Calibration
    costs: CodecCosts

    def chosen(self, options: PlanOptions, codecs: CodecOptions) -> Chosen:
        """A plan with codecs."""
        measured = replace(codecs, metric=METRICS.get(self.name))
        return choose(self.model, self.profile, options, self.calibration, measured, self.costs)


def main() -> None:
    """Measure all models over all networks."""
    made = parser(__doc__)
    made.add_argument("--models", default=",".join(INPUTS), metavar="NAMES")
    made.add_argument("--slices", type=int, default=3, metavar="K")
    made.add_argument("--inputs", type=int, default=64, metavar="N", help="real inputs, half of them held apart")
    made.add_argument("--requests", type=int, default=30, metavar="N")
    made.add_argument("--mbit", default="100,1000,10000", metavar="X,..")
    made.add_argument("--budget", type=float, default=0.5, metavar="POINTS")
    arguments = made.parse_args()
    say_where(0)
    raw: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in filter(None, arguments.models.split(",")):
            subject = _subject(name, Path(scratch), arguments.inputs)
            for mbit in map(float, arguments.mbit.split(",")):
                raw[f"{name}, {mbit:g} Mbit/s"] = _over(subject, mbit, Path(scratch), arguments)
    write_raw(arguments.json, "codecs", raw)


def _subject(name: str, scratch: Path, count: int) -> Subject:
    path, inputs = scratch / f"{name}.npz", INPUTS[name](count)
    np.savez(path, allow_pickle=False, **inputs)
    first = scratch / f"{name}-first.npz"
    np.savez(first, allow_pickle=False, **{key: value[:1] for key, value in inputs.items()})
    model, profile = measure_model(materialise(name), inputs=first)
    return Subject(name, model, profile, load_calibration(path, model.inputs), codec_costs())


def _over(subject: Subject, mbit: float, scratch: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Print a model's table for one network; returns the samples."""
    options = PlanOptions(_PLATFORM, uniform=arguments.slices, slo_ms=None, network=Network(mbit))
    raw = make_plan(subject.profile, options)
    found: dict[str, Chosen] = {NOTHING: Chosen(raw, {}, None)}
    for codec in codec_names():
        try:
            found[codec] = subject.chosen(options, CodecOptions(forced={"all": codec}))
        except UsageError:
            continue  # it is offered for no tensor
    found[CHOSEN] = subject.chosen(options, CodecOptions(budget=arguments.budget))
    bundles = []
    for name, one in found.items():
        folder = scratch / f"{subject.name}-{mbit:g}-{name}"
        build(subject.model, one.plan, folder, codings=one.codings)
        bundles.append(open_bundle(folder))
    request = subject.calibration.held_apart[0]
    want = ReferenceModel(materialise(subject.name)).infer(request)
    network = Network(mbit)
    samples = sample(bundles, request, want, arguments.requests, transport="http", network=network)
    taken = dict(zip(found, samples, strict=True))
    print(f"{subject.name}, {len(raw.functions)} functions, {mbit:g} Mbit/s: medians of {arguments.requests} requests")
    columns = (
        "codec",
        "ratio",
        "encode ms",
        "decode ms",
        "points lost",
        "ms",
        "predicted",
        "engine ms",
        "GB-s engine",
        "GB-s beside",
    )
    table(columns, [_row(subject, name, one, taken[name]) for name, one in found.items()])
    _say_goals(subject, found, taken, mbit, arguments)
    return {name: {"latency_ms": one.latency_ms, "codecs": found[name].plan.codecs} for name, one in taken.items()}


def _row(subject: Subject, name: str, one: Chosen, taken: Samples) -> tuple[str, ...]:
    encode_ms, decode_ms = _coding_ms(subject, one.plan)
    engine, held = (_gb_s(one.plan, times) for times in (taken.engine_ms, taken.held_ms))
    lost = "-" if one.accuracy is None else f"{one.accuracy.measured:.3g} {one.accuracy.metric}"
    return (
        name,
        f"{_ratio(subject, one.plan, one.codings):.2f}",
        f"{encode_ms:.2f}",
        f"{decode_ms:.2f}",
        lost,
        f"{statistics.median(taken.latency_ms):.1f}",
        f"{one.plan.predicted.latency_ms:.1f}",
        f"{sum(map(statistics.median, taken.engine_ms.values())):.1f}",
        f"{engine:.3g}",
        f"{held - engine:.3g}",
    )


def _crossing(subject: Subject, plan: Plan) -> dict[str, TensorSpec]:
    """The tensors that pass between functions, at the measured point."""
    outputs = {spec.name for spec in subject.profile.outputs}
    read = {name for graph in plan.graphs for name in graph.inputs}
    return {
        tensor.name: TensorSpec(tensor.name, tensor.dtype, tensor.shape)
        for tensor in subject.profile.tensors
        if tensor.producer >= 0 and tensor.name in read - outputs
    }


def _ratio(subject: Subject, plan: Plan, codings: Mapping[str, Fitted]) -> float:
    """Bytes of the tensors that pass between functions over those that are sent."""
    sizes = {tensor.name: tensor.bytes for tensor in subject.profile.tensors}
    crossing = _crossing(subject, plan)
    sent = sum(
        code_bytes(codec_of(codings[name].text).codes(codings[name], spec)) if name in codings else sizes[name]
        for name, spec in crossing.items()
    )
    return sum(sizes[name] for name in crossing) / sent if sent else 1.0


def _coding_ms(subject: Subject, plan: Plan) -> tuple[float, float]:
    """What encoding and decoding are expected to take in a request."""
    encode = decode = 0.0
    crossing, sizes = _crossing(subject, plan), {tensor.name: tensor.bytes for tensor in subject.profile.tensors}
    for name, text in plan.codecs.items():
        readers = sum(name in graph.inputs for graph in plan.graphs)
        once = subject.costs.of(text, len(crossing[name].shape or ()), sizes[name])
        encode, decode = encode + once[0], decode + readers * once[1]
    return encode, decode


def _gb_s(plan: Plan, times_ms: Mapping[str, list[float]]) -> float:
    limits = {function.name: function.memory_mib / 1024 for function in plan.functions}
    return sum(statistics.median(times) / 1e3 * limits[name] for name, times in times_ms.items())


def _say_goals(
    subject: Subject,
    found: Mapping[str, Chosen],
    taken: Mapping[str, Samples],
    mbit: float,
    arguments: argparse.Namespace,
) -> None:
    one = found[CHOSEN]
    ratio = _ratio(subject, one.plan, one.codings)
    share = statistics.median(taken[CHOSEN].latency_ms) / statistics.median(taken[NOTHING].latency_ms)
    slowest = mbit == min(map(float, arguments.mbit.split(",")))
    goals = [f"{ratio:.1f}x fewer bytes: {met(ratio >= _GOAL_RATIO)}"] if slowest else []
    most = _GOAL_LATENCY if slowest else 1.0
    goals.append(f"{share:.2f}x the latency of nothing encoded (at most {most:g}): {met(share <= most)}")
    print("; ".join(goals), "\n", flush=True)


if __name__ == "__main__":
    main()
