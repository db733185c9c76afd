"""Cost as a function of the number of functions, computing and communication separately, for each zoo model.

    python -m benchmarks.function_count [--models NAME,..] [--measure NAME] [--most 10] [--json FILE]

The cheapest plan of at most 1 to 10 functions at any latency, at the paper's prices, predicted from measured profiles;
for one model (ConvNeXt) three functions are built and measured too, for comparison with the paper's three slices:
computing cost -36.43%, communication cost +18.61%. Communication is what functions hold while they receive and send.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.common import parser, say_where, table, write_raw
from benchmarks.slices import call_ms
from benchmarks.verdicts import profile_of
from mopar.bundle import build, open_bundle
from mopar.graph import load_model
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.types import Plan, Profile
from mopar.zoo import zoo_models
from tests.models import materialise, sample_inputs

MEASURED, SLICES = "convnext-base", 3
PAPER = "the paper's three slices: computing -36.43%, communication +18.61%"


@dataclass(frozen=True, slots=True)
class Point:
    """A model cut into at most a given number of functions."""

    model: str
    most: int
    functions: int
    latency_ms: float
    compute_gb_s: float
    communication_gb_s: float

    @property
    def gb_s(self) -> float:
        """Total."""
        return self.compute_gb_s + self.communication_gb_s


def planned(profile: Profile, most: int) -> tuple[Plan, Point]:
    """Plan at most that many functions, as cheap as possible."""
    made = make_plan(profile, PlanOptions(slo_ms=None, max_functions=most))
    predicted = made.predicted
    return made, Point(
        profile.model.name,
        most,
        len(made.functions),
        predicted.latency_ms,
        predicted.compute_gb_s,
        predicted.communication_gb_s,
    )


def measured(name: str, made: Plan) -> tuple[float, float]:
    """Measured GB-s of computing (engine time) and of communication (the rest of the time inside functions)."""
    with tempfile.TemporaryDirectory(prefix="mopar-count-") as folder:
        build(load_model(materialise(name)), made, Path(folder) / "bundle")
        taken = uvloop.run(call_ms(open_bundle(Path(folder) / "bundle"), sample_inputs(name)))
    held = np.array([function.memory_mib / 1024 for function in made.functions])
    engine, inside = np.array(taken).T
    return float(held @ engine / 1e3), float(held @ (inside - engine) / 1e3)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=",".join(model.name for model in zoo_models() if model.in_mean))
    arguments.add_argument("--measure", default=MEASURED, metavar="NAME")
    arguments.add_argument("--most", type=int, default=10)
    options = arguments.parse_args()
    say_where(None)
    found: list[Point] = []
    for name in options.models.split(","):
        print(f"  {name}", file=sys.stderr, flush=True)
        profile = profile_of(name.strip())
        found += [planned(profile, most)[1] for most in range(1, options.most + 1)]
    unsplit = {point.model: point for point in found if point.most == 1}
    rows = [
        (
            point.model,
            str(point.most),
            str(point.functions),
            f"{point.latency_ms:.2f}",
            f"{point.gb_s:.5f}",
            f"{point.gb_s / unsplit[point.model].gb_s - 1:+.1%}",
            f"{point.compute_gb_s / unsplit[point.model].compute_gb_s - 1:+.1%}",
            f"{point.communication_gb_s / point.gb_s:.1%}",
        )
        for point in found
    ]
    table(("model", "at most", "functions", "ms", "GB-s", "of unsplit", "computing", "communication's share"), rows)
    profile = profile_of(options.measure)
    taken = {most: measured(options.measure, planned(profile, most)[0]) for most in (1, SLICES)}
    (one, one_sent), (many, many_sent) = taken[1], taken[SLICES]
    print(f"\n{options.measure}, measured: computing {one:.5f} GB-s unsplit, {many:.5f} in {SLICES} functions "
          f"({many / one - 1:+.1%}); communication {one_sent:.5f} and {many_sent:.5f}, "
          f"which is {(many_sent - one_sent) / (one + one_sent):+.2%} of the unsplit cost; {PAPER}")  # fmt: skip
    write_raw(options.json, "function_count", {"points": found, "measured": taken})


if __name__ == "__main__":
    main()
