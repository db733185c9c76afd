"""Gain of two parallel functions: latency-optimal plans of two functions against the unsplit model.

    python -m benchmarks.side_by_side [--models NAME,..] [--requests N] [--measure] [--json FILE]

For each of the zoo's CNNs and Transformers, served alike with interleaved requests: the user's file unchanged at one
CPU (ort-unsplit), the same model built by mopar at one CPU and at two with two threads, and the fastest plan of at most
two functions of one CPU each. Memory limits do not bind: only latency is compared. Layer times are predicted, or, with
--measure, measured. Goals, over ort-unsplit: at most 0.70 in the geometric mean, 0.60 for the best, 1.03 for the worst.
"""

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from mopar.bundle import build, open_bundle
from mopar.graph import Model
from mopar.pipeline.bench.configs import Config, resized, untouched
from mopar.pipeline.bench.served import sample
from mopar.pipeline.profile import measure_model, predict_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.planning import plan_text
from mopar.types import Plan, Profile
from mopar.zoo import zoo_models
from tests.models import materialise, sample_inputs

CATEGORIES = ("cnn", "transformer")
MEAN_GOAL, BEST_GOAL, WORST_GOAL = 0.70, 0.60, 1.03
PLENTY_MIB = 8192
ONE, TWO_THREADS, SIDE = "one CPU", "two threads", "two functions"


@dataclass(frozen=True, slots=True)
class Compared:
    """A model's latencies in ms, by configuration, and the predicted ratio of the plan to the unsplit model."""

    model: str
    samples: Mapping[str, Sequence[float]]
    equal: bool
    predicted: float
    text: str

    def ratio(self, name: str) -> float:
        """Median latency divided by that of the user's file."""
        return statistics.median(self.samples[name]) / statistics.median(self.samples["ort-unsplit"])


def names_of(wanted: str | None) -> list[str]:
    """The models to measure; by default CNNs and Transformers of the twelve."""
    known = [model.name for model in zoo_models() if model.in_mean and model.category in CATEGORIES]
    return known if wanted is None else wanted.split(",")


def plans_of(profile: Profile) -> dict[str, Plan]:
    """The plans that are served besides the user's file."""
    whole = make_plan(profile, PlanOptions(cuts=(), slo_ms=None))
    (function,) = whole.functions
    threads = replace(function, cpu=2.0, threads=2)
    return {
        ONE: whole,
        TWO_THREADS: replace(whole, functions=(threads,)),
        SIDE: make_plan(profile, PlanOptions(objective="latency", max_functions=2)),
    }


def configs_of(model: Model, plans: Mapping[str, Plan], root: Path) -> list[Config]:
    """All configurations, built."""
    configs = [untouched(model, root)]
    for number, (name, made) in enumerate(plans.items()):
        build(model, made, root / f"{number}")
        configs.append(Config(name, open_bundle(root / f"{number}", check=False), made))
    return [resized(config, dict.fromkeys(functions_of(config), PLENTY_MIB)) for config in configs]


def functions_of(config: Config) -> list[str]:
    """Names of a configuration's functions."""
    return [function.name for function in config.bundle.manifest.plan.functions]


def compare(name: str, requests: int, *, measured: bool) -> Compared:
    """Serve one model in all configurations and send interleaved requests."""
    path = materialise(name)
    model, profile = measure_model(path) if measured else predict_model(path)
    inputs = sample_inputs(name)
    want = ReferenceModel(path).infer(inputs)
    plans = plans_of(profile)
    with tempfile.TemporaryDirectory(prefix="mopar-side-") as folder:
        configs = configs_of(model, plans, Path(folder))
        taken = sample([config.bundle for config in configs], inputs, want, requests)
    side = plans[SIDE]
    return Compared(
        model=name,
        samples={config.name: one.latency_ms for config, one in zip(configs, taken, strict=True)},
        equal=all(one.equal for one in taken),
        predicted=side.predicted.latency_ms / side.unsplit.latency_ms,
        text=plan_text(side),
    )


def show(found: Sequence[Compared]) -> bool:
    """Print the table and the goals; return whether all are met."""
    rows = [
        (
            one.model,
            spread(one.samples["ort-unsplit"]).text(".1f"),
            *(f"{one.ratio(name):.2f}" for name in (ONE, TWO_THREADS, SIDE)),
            f"{one.predicted:.2f}",
            "yes" if one.equal else "NO",
        )
        for one in found
    ]
    table(("model", "ort-unsplit ms", "tuned", "two threads", "two functions", "predicted", "equal"), rows)
    for one in found:
        print(one.text)
    ratios = [one.ratio(SIDE) for one in found]
    mean = float(np.exp(np.mean(np.log(ratios))))
    threads = float(np.exp(np.mean([np.log(one.ratio(TWO_THREADS)) for one in found])))
    goals = (mean <= MEAN_GOAL, min(ratios) <= BEST_GOAL, max(ratios) <= WORST_GOAL, all(one.equal for one in found))
    print(f"\ngeometric mean {mean:.3f} (goal {MEAN_GOAL}): {met(goals[0])}; of two threads {threads:.3f}")
    print(f"best {min(ratios):.3f} (goal {BEST_GOAL}): {met(goals[1])}; worst {max(ratios):.3f}: {met(goals[2])}")
    print(f"all outputs equal: {met(goals[3])}")
    return all(goals)


def main() -> int:
    """Run the benchmark; return 0 where all goals are met."""
    arguments = parser(__doc__)
    arguments.add_argument("--models", metavar="NAME,..")
    arguments.add_argument("--requests", type=int, default=40)
    arguments.add_argument("--measure", action="store_true")
    given = arguments.parse_args()
    say_where(None, "onnx")
    found = []
    for name in names_of(given.models):
        found.append(compare(name, given.requests, measured=given.measure))
        print(f"{name}: {found[-1].ratio(SIDE):.2f}", file=sys.stderr, flush=True)
    reached = show(found)
    write_raw(given.json, "side_by_side", {"models": found})
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
