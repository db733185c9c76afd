"""How planning time grows with the number of layers: synthetic profiles, one core.

    python -m benchmarks.planner_growth [LAYERS ..] [--json FILE]

Layers get random times, weights and tensors (fixed seed), with skip connections over two layers; every position may be
cut. For each platform and objective one line: seconds, verdict, functions, cost against unsplit, and for larger models
the cost with fewer cut positions. Goals: up to 500 layers in a second, with any price book; up to 10,000 in ten. The
loss from downsampling cut positions is then measured where all of them can be searched: 1,000 layers.
"""

import random
import time
from dataclasses import replace
from typing import Literal

from benchmarks.common import met, parser, say_where, table, write_raw
from mopar.planning import plan
from mopar.platforms.books import load_book, load_limits
from mopar.types import (
    CutPosition,
    InfeasibleError,
    LayerProfile,
    Machine,
    ModelInfo,
    Plan,
    Profile,
    RuntimeCosts,
    TensorProfile,
    TensorSpec,
    WeightProfile,
    WholeProfile,
)

MIB = 1 << 20
SEED = 20240402
# Platform, objective, SLO as a multiple of the unsplit latency, maximum number of functions.
Question = tuple[str, str, float | Literal["default"] | None, int | None]
QUESTIONS: tuple[Question, ...] = (
    ("local", "cost", "default", None),
    ("local", "cost", None, None),
    ("local", "balanced", "default", None),
    ("openfaas", "cost", 1.5, None),
    ("openfaas", "cost", 1.1, None),
    ("openfaas", "balanced", 0.9, None),
    ("aws-lambda", "cost", "default", None),
    ("aws-lambda", "latency", "default", None),
)
SMALL, LARGE = (500, 1.0), (10_000, 10.0)
"""Layers, and the goal for planning them in seconds."""
LOSS_LAYERS = 1000


def synthetic(count: int) -> Profile:
    """A profile of ``count`` layers that together take 300 ms and weigh about 400 MiB."""
    rng = random.Random(SEED)
    sizes = [4 * rng.randint(1, max(1, 4 * MIB * (count - index) // count // 4)) for index in range(count)]
    tensors = [TensorProfile("x", "float32", (1, 150528), 602112, -1, (0,))]
    weights, layers = [], []
    for index in range(count):
        readers = {index + 1} if rng.random() < 0.7 else {index + 1, min(index + 3, count)}
        tensors.append(
            TensorProfile(f"t{index}", "float32", (1, sizes[index] // 4), sizes[index], index, tuple(sorted(readers)))
        )
        size = int(800 * MIB * rng.random() * (index + 1) / count / count * 2)
        weights.append(WeightProfile(f"w{index}", size, size, size))
        before = sizes[index - 1] if index else 602112
        layers.append(
            LayerProfile(
                index=index,
                nodes=(f"n{index}",),
                operators=("Conv",),
                weights=(f"w{index}",),
                latency_ms=300 / count * (0.2 + 1.6 * rng.random()),
                spread_ms=0.0,
                weight_bytes=size,
                activation_bytes=before + sizes[index] + sum(sizes[max(index - 3, 0) : index - 1]),
                two_threads=0.5 + 0.3 * rng.random(),
            )
        )
    cuts = []
    for index in range(1, count):
        across = [tensor for tensor in tensors[index - 3 if index > 3 else 0 : index + 1] if tensor.producer < index]
        across = [tensor for tensor in across if max(tensor.consumers) >= index]
        cuts.append(CutPosition(index, tuple(t.name for t in across), sum(t.bytes for t in across), 0.02))
    whole_ms = sum(layer.latency_ms for layer in layers)
    return Profile(
        model=ModelInfo("synthetic", "", "", 17, 0, sum(weight.bytes for weight in weights)),
        inputs=(TensorSpec("x", "float32", (1, 150528)),),
        outputs=(TensorSpec(f"t{count - 1}", "float32", (1, sizes[-1] // 4)),),
        tensors=tuple(tensors),
        weights=tuple(weights),
        layers=tuple(layers),
        cut_positions=tuple(cuts),
        whole=WholeProfile(whole_ms, 0.0, 52.0 + 1.1 * sum(w.bytes for w in weights) / MIB, 400.0, 0.0),
        runtime=RuntimeCosts(20.0, 0.8, 0.4, 0.07, 40.0),
        recipes=(),
        machine=Machine("", "", 1, 0, "", "", "", ""),
    )


def timed_plan(profile: Profile, question: Question, *, exact: bool = False) -> tuple[Plan | InfeasibleError, float]:
    """Solve a question; return the answer and the seconds that it took."""
    name, objective, slo, most = question
    limits = replace(load_limits(name), package_bytes=None)
    book = load_book(limits.prices)
    slo_ms = slo * profile.whole.latency_ms if isinstance(slo, float) else slo
    begin = time.perf_counter()
    try:
        found: Plan | InfeasibleError = plan(
            profile, book, limits, objective=objective, slo_ms=slo_ms, max_functions=most, exact=exact
        )
    except InfeasibleError as error:
        found = error
    return found, time.perf_counter() - begin


def loss(count: int) -> list[tuple[str, ...]]:
    """Loss from downsampling cut positions: the plan's cost and latency relative to the plan from all positions."""
    profile, rows = synthetic(count), []
    for question in QUESTIONS:
        rough, _ = timed_plan(profile, question)
        exact, seconds = timed_plan(profile, question, exact=True)
        if isinstance(rough, InfeasibleError) or isinstance(exact, InfeasibleError):
            continue
        dearer = rough.predicted.cost_per_million_usd / exact.predicted.cost_per_million_usd - 1
        slower = rough.predicted.latency_ms / exact.predicted.latency_ms - 1
        counted = "0.1 ms" if "counted" in exact.reason else "exactly"
        rows.append((*map(str, question[:3]), f"{dearer:+.2%}", f"{slower:+.2%}", f"{seconds:.1f}", counted))
    return rows


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("layers", nargs="*", type=int, default=[100, 200, 500, 1000, 2000, 5000, 10_000])
    options = arguments.parse_args()
    say_where(SEED)
    raw = []
    print(f"{'layers':>6} {'platform':<11} {'objective':<9} {'slo':>8} {'s':>7}  verdict")
    for count in options.layers:
        profile = synthetic(count)
        for question in QUESTIONS:
            found, seconds = timed_plan(profile, question)
            name, objective, slo, _ = question
            said = f"infeasible: {found}" if isinstance(found, InfeasibleError) else f"{found.verdict}: {found.reason}"
            print(f"{count:>6} {name:<11} {objective:<9} {slo!s:>8} {seconds:>7.3f}  {said}", flush=True)
            raw.append({"layers": count, "platform": name, "objective": objective, "slo": slo, "seconds": seconds})
    for layers, seconds in (SMALL, LARGE):
        slowest = max((one["seconds"] for one in raw if one["layers"] <= layers), default=0.0)
        print(f"up to {layers} layers: {slowest:.2f} s at most (goal {seconds:g} s: {met(slowest <= seconds)})")
    print(f"\nfewer positions against all of {LOSS_LAYERS} layers:")
    lost = loss(LOSS_LAYERS)
    table(("platform", "objective", "slo", "cost", "latency", "s for all", "latencies counted"), lost)
    write_raw(options.json, "planner_growth", {"seed": SEED, "samples": raw, "loss": lost})


if __name__ == "__main__":
    main()
