"""Accuracy of predictions: latency and memory of three plans of each of five models, measured by `mopar verify`.

    python -m benchmarks.prediction [--advice] [--models resnet50,minilm] [--repeat 3] [--json FILE]

Plans: mopar-cost (at most four functions), three uniform slices, and two cuts at thirds of the layers. Goals: latency
within 5% (median) and 10% (p95), memory within 5% and 12% (measured independently of the limit), and equal outputs on
three requests. Layers are timed immediately before, even where a profile exists, since the speed of machines changes
within minutes. `verify` takes its time of twenty requests in a row, half a second in which a shared host may be busy
with something else: each plan is verified --repeat times, in turns with the model's other plans, and the medians count.

--models takes architectures of benchmarks/architectures too, in full size.

With --advice, models of the zoo instead, each with the plan of `mopar plan` for this machine and the paper's prices.
Goals: the median error of latency within 5%, that of memory within 10%; plans and functions beyond them are listed.
"""

import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.architectures.named import named
from benchmarks.common import error_cells, met, parser, say_where, table, write_raw
from benchmarks.layers import retimed
from mopar.bundle import build, open_bundle
from mopar.pipeline.profile import measure_model
from mopar.pipeline.reference import ReferenceModel
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.pipeline.verify import verify
from mopar.types import InfeasibleError, Plan, Profile
from mopar.types.reports import Verification

NAMES = ("resnet50", "minilm", "ppocr-rec", "bilstm", "two_input")
REQUESTS = 3
LATENCY_GOALS, MEMORY_GOALS = (0.05, 0.10), (0.05, 0.12)
MOST_FUNCTIONS = 4
ADVISED = ("resnet50", "vgg16", "inception-v3", "efficientnet-b0", "lstm-lm", "gpt2", "vit-b16", "dlrm")
ADVICE_LATENCY_GOAL, ADVICE_MEMORY_GOAL = 0.05, 0.10


@dataclass(frozen=True, slots=True)
class Verified:
    """A plan of a model, and the results of verify, one per repetition."""

    model: str
    label: str
    plan: Plan
    found: tuple[Verification, ...]

    @property
    def latency_ms(self) -> float:
        """Median of what a request took."""
        return median(one.latency_ms.measured or math.nan for one in self.found)

    @property
    def memory_mib(self) -> list[float]:
        """Median of what each function needed."""
        by_function = zip(*(one.functions for one in self.found), strict=True)
        return [median(one.measured_mib or math.nan for one in each) for each in by_function]

    @property
    def latency_off(self) -> float:
        """Signed error of the prediction, relative to it."""
        return self.latency_ms / self.found[0].latency_ms.predicted - 1

    @property
    def memory_off(self) -> list[float]:
        """The same of each function's memory."""
        return [
            mib / function.predicted_mib - 1
            for mib, function in zip(self.memory_mib, self.found[0].functions, strict=True)
        ]

    @property
    def equal(self) -> bool:
        """Every time."""
        return all(one.equal for one in self.found)

    @property
    def passed(self) -> bool:
        """The same."""
        return all(one.passed for one in self.found)


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


def verified(name: str, wanted: Callable[[Profile], Iterator[tuple[str, Plan]]], repeat: int) -> Iterator[Verified]:
    """Profile a model once; build each of the plans that ``wanted`` yields, and verify them in turns."""

    def say(line: str) -> None:
        print(f"  {name}: {line}", file=sys.stderr, flush=True)

    path, inputs_of = named(name)
    requests = [inputs_of(seed) for seed in range(REQUESTS)]
    with tempfile.TemporaryDirectory(prefix="mopar-prediction-") as folder:
        inputs = Path(folder) / "inputs.npz"
        np.savez(inputs, allow_pickle=False, **requests[0])
        say("profile")
        model, profile = measure_model(path, inputs=inputs)
        say("layers once more")
        profile = retimed(profile, model, requests[0])
        reference = ReferenceModel(path)
        plans = dict(wanted(profile))
        for number, plan in enumerate(plans.values()):
            build(model, plan, Path(folder) / str(number))
        found: dict[str, list[Verification]] = {label: [] for label in plans}
        for turn in range(repeat):
            for number, label in enumerate(plans):
                found[label].append(verify(open_bundle(Path(folder) / str(number)), reference, requests))
                say(f"{label}, {turn + 1} of {repeat}: {found[label][-1].latency_ms.measured or math.nan:.2f} ms")
        for label, plan in plans.items():
            yield Verified(name, label, plan, tuple(found[label]))


def row_of(one: Verified) -> tuple[str, ...]:
    """A plan's row of the table; memory as predicted>measured of each function."""
    needs = zip(one.found[0].functions, one.memory_mib, strict=True)
    each = [found.latency_ms.measured or math.nan for found in one.found]
    return (
        one.model,
        one.label,
        str(len(one.plan.functions)),
        f"{one.found[0].latency_ms.predicted:.2f}>{one.latency_ms:.2f}",
        f"{min(each):.2f} to {max(each):.2f}",
        f"{one.latency_off:+.1%}",
        " ".join(f"{function.predicted_mib:.0f}>{mib:.0f}" for function, mib in needs),
        f"{max(one.memory_off, key=abs):+.1%}",
        "yes" if one.equal else "NO",
        "yes" if one.passed else "NO",
    )


def summary(all_of_them: list[Verified]) -> list[tuple[str, ...]]:
    """Median, p95 and worst error over all plans, against the goals."""
    latency = [abs(one.latency_off) for one in all_of_them]
    memory = [abs(off) for one in all_of_them for off in one.memory_off]
    rows: list[tuple[str, ...]] = []
    for what, found, goals in (
        ("latency of a request", latency, LATENCY_GOALS),
        ("memory of a function", memory, MEMORY_GOALS),
    ):
        within = f"{sum(value <= goals[1] for value in found)} of {len(found)}"
        rows.append((what, *error_cells(found, goals), f"{max(found):.1%}", f"{within} within {goals[1]:.0%}"))
    return rows


def advice_summary(all_of_them: list[Verified]) -> None:
    """Print the median errors and their goals, and the plans that miss them."""
    latency, memory, misses = [], [], []
    for one in all_of_them:
        latency.append(abs(one.latency_off))
        memory += [abs(value) for value in one.memory_off]
        if abs(one.latency_off) > ADVICE_LATENCY_GOAL:
            misses.append(f"{one.model}: latency {one.latency_off:+.1%}")
        misses += [f"{one.model}: memory {value:+.1%}" for value in one.memory_off if abs(value) > ADVICE_MEMORY_GOAL]
        if not one.passed:
            misses.append(f"{one.model}: not equal, or a function did not survive its limit")
    for what, found, goal in (
        ("latency of a request", latency, ADVICE_LATENCY_GOAL),
        ("memory of a function", memory, ADVICE_MEMORY_GOAL),
    ):
        middle = median(found) if found else math.inf
        print(f"{what}: median error {middle:.1%} of {len(found)} (goal {goal:.0%}: {met(middle <= goal)})")
    print("measured over predicted, beyond the goals: " + ("; ".join(misses) or "none"))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", help="of the zoo, or architectures in full size, separated by commas")
    arguments.add_argument("--advice", action="store_true", help="the advised plan alone, of models of the zoo")
    arguments.add_argument("--repeat", type=int, default=3, help="verifications of each plan")
    options = arguments.parse_args()
    say_where(0)
    names = options.models.split(",") if options.models else ADVISED if options.advice else NAMES
    wanted = advice_of if options.advice else plans_of
    found = [one for name in names for one in verified(name.strip(), wanted, max(1, options.repeat))]
    columns = ("model", "plan", "functions", "ms", "range", "off", "MiB of each function", "worst", "equal", "survived")
    table(columns, [row_of(one) for one in found])
    print()
    if options.advice:
        advice_summary(found)
    else:
        table(("predicted against measured", "median error", "p95", "worst", ""), summary(found))
    write_raw(options.json, "prediction", {"seed": 0, "plans": found})


if __name__ == "__main__":
    main()
