"""Accuracy of predictions: latency and memory of three plans of each of five models, measured by `mopar verify`.

    python -m benchmarks.prediction [--advice] [--models resnet50,minilm] [--json FILE]

Plans: mopar-cost (at most four functions), three uniform slices, and two cuts at thirds of the layers. Goals: latency
within 10%, memory within 15% (measured independently of the limit), and equal outputs on three requests. Layers are
timed immediately before, even where a profile exists, since the speed of machines changes within minutes.

With --advice, models of the zoo instead, each with the plan of `mopar plan` for this machine and the paper's prices.
Goals: the median error of latency within 5%, that of memory within 10%; plans and functions beyond them are listed.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, spread, table, write_raw
from benchmarks.layers import retimed
from mopar.bundle import build, open_bundle
from mopar.pipeline.profile import measure_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.pipeline.verify import verify
from mopar.types import InfeasibleError, Plan, Profile
from mopar.types.reports import Verification
from tests.models import MODELS, materialise, sample_inputs

NAMES = ("resnet50", "minilm", "ppocr-rec", "bilstm", "two_input")
REQUESTS = 3
LATENCY_GOAL, MEMORY_GOAL = 0.10, 0.15
MOST_FUNCTIONS = 4
ADVISED = ("resnet50", "vgg16", "inception-v3", "efficientnet-b0", "lstm-lm", "gpt2", "vit-b16", "dlrm")
ADVICE_LATENCY_GOAL, ADVICE_MEMORY_GOAL = 0.05, 0.10


@dataclass(frozen=True, slots=True)
class Verified:
    """A plan of a model, and the result of verify."""

    model: str
    label: str
    plan: Plan
    found: Verification


def advice_of(profile: Profile) -> Iterator[tuple[str, Plan]]:
    """The plan of `mopar plan` without options."""
    yield "mopar-cost", make_plan(profile, PlanOptions())


def plans_of(profile: Profile) -> Iterator[tuple[str, Plan]]:
    """The three plans; one that the platform does not allow is left out, with a message."""
    positions = [cut.index for cut in profile.cut_positions]
    thirds = [len(profile.layers) * k // 3 for k in (1, 2)]
    cuts = tuple(sorted({min(positions, key=lambda index: abs(index - third)) for third in thirds}))
    wanted = {
        "mopar-cost": PlanOptions(max_functions=MOST_FUNCTIONS),
        "uniform 3": PlanOptions(uniform=3, slo_ms=None),
        f"cuts {','.join(map(str, cuts))}": PlanOptions(cuts=cuts, slo_ms=None),
    }
    for label, options in wanted.items():
        try:
            yield label, make_plan(profile, options)
        except InfeasibleError as error:
            print(f"{profile.model.name}, {label}: {error}")


def verified(name: str, wanted: Callable[[Profile], Iterator[tuple[str, Plan]]]) -> Iterator[Verified]:
    """Profile a model once; build and verify each of the plans that ``wanted`` yields."""

    def say(line: str) -> None:
        print(f"  {name}: {line}", file=sys.stderr, flush=True)

    path = materialise(name)
    requests = [sample_inputs(name, seed) for seed in range(REQUESTS)]
    with tempfile.TemporaryDirectory(prefix="mopar-prediction-") as folder:
        inputs = Path(folder) / "inputs.npz"
        np.savez(inputs, allow_pickle=False, **requests[0])
        say("profile")
        model, profile = measure_model(path, inputs=inputs)
        say("layers once more")
        profile = retimed(profile, model, requests[0])
        reference = ReferenceModel(path)
        for number, (label, plan) in enumerate(wanted(profile)):
            say(f"{label}: {len(plan.functions)} functions")
            root = Path(folder) / str(number)
            build(model, plan, root)
            one = Verified(name, label, plan, verify(open_bundle(root), reference, requests))
            say("; ".join(row_of(one)[1:]))
            yield one


def errors(found: Verification) -> tuple[list[float], list[float]]:
    """Signed errors of latency, and of each function's memory, relative to the prediction."""
    latency = found.latency_ms
    off = [] if latency.measured is None else [latency.measured / latency.predicted - 1]
    memory = [f.measured_mib / f.predicted_mib - 1 for f in found.functions if f.measured_mib is not None]
    return off, memory


def row_of(one: Verified) -> tuple[str, ...]:
    """A plan's row of the table; memory as predicted>measured of each function."""
    latency_off, memory_off = errors(one.found)
    latency = one.found.latency_ms
    needs = (f"{f.predicted_mib:.0f}>{f.measured_mib or 0:.0f}" for f in one.found.functions)
    return (
        one.model,
        one.label,
        str(len(one.plan.functions)),
        f"{latency.predicted:.2f}>{latency.measured or 0:.2f}",
        "".join(f"{off:+.1%}" for off in latency_off),
        " ".join(needs),
        f"{max(memory_off, key=abs):+.1%}" if memory_off else "",
        "yes" if one.found.equal else "NO",
        "yes" if one.found.passed else "NO",
    )


def summary(all_of_them: list[Verified]) -> list[tuple[str, ...]]:
    """Worst and median error over all plans, against the goals."""
    latency, memory = [], []
    for one in all_of_them:
        off, more = errors(one.found)
        latency += [abs(value) for value in off]
        memory += [abs(value) for value in more]
    rows: list[tuple[str, ...]] = []
    for what, found, goal in (
        ("latency of a request", latency, LATENCY_GOAL),
        ("memory of a function", memory, MEMORY_GOAL),
    ):
        within = sum(value <= goal for value in found)
        figures = f"{spread(found).p50:.1%}", f"{max(found):.1%}", f"{within} of {len(found)}"
        rows.append((what, *figures, f"{goal:.0%}", met(within == len(found))))
    return rows


def advice_summary(all_of_them: list[Verified]) -> None:
    """Print the median errors and their goals, and the plans that miss them."""
    latency, memory, misses = [], [], []
    for one in all_of_them:
        off, more = errors(one.found)
        latency += [abs(value) for value in off]
        memory += [abs(value) for value in more]
        misses += [f"{one.model}: latency {value:+.1%}" for value in off if abs(value) > ADVICE_LATENCY_GOAL]
        misses += [f"{one.model}: memory {value:+.1%}" for value in more if abs(value) > ADVICE_MEMORY_GOAL]
        if not one.found.passed:
            misses.append(f"{one.model}: not equal, or a function did not survive its limit")
    for what, found, goal in (
        ("latency of a request", latency, ADVICE_LATENCY_GOAL),
        ("memory of a function", memory, ADVICE_MEMORY_GOAL),
    ):
        middle = spread(found).p50 if found else float("inf")
        print(f"{what}: median error {middle:.1%} of {len(found)} (goal {goal:.0%}: {met(middle <= goal)})")
    print("measured over predicted, beyond the goals: " + ("; ".join(misses) or "none"))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", help=f"of {', '.join(MODELS)}")
    arguments.add_argument("--advice", action="store_true", help="the advised plan alone, of models of the zoo")
    options = arguments.parse_args()
    say_where(0)
    names = options.models.split(",") if options.models else ADVISED if options.advice else NAMES
    wanted = advice_of if options.advice else plans_of
    found = [one for name in names for one in verified(name.strip(), wanted)]
    columns = ("model", "plan", "functions", "ms", "off", "MiB of each function", "worst", "equal", "survived")
    table(columns, [row_of(one) for one in found])
    print()
    if options.advice:
        advice_summary(found)
    else:
        table(("predicted against measured", "median error", "worst", "within", "goal", ""), summary(found))
    write_raw(options.json, "prediction", {"seed": 0, "plans": found})


if __name__ == "__main__":
    main()
