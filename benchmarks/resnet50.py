"""ResNet-50 (prepared weights) in all configurations of `mopar bench`, compared with the project's goals.

    python -m benchmarks.resnet50 [--requests 100] [--no-torch] [--json FILE]

Price book `paper`. Goals: mopar-cost takes at least 1.7x less GB-s per request than ort-unsplit, and at least 1.5x less
than ort-tuned-unsplit, the tuned unsplit baseline, at no more than 1.05x its median latency. Beside plans in parts
stands that baseline with as many CPUs (ort-tuned-unsplit-2cpu).
"""

import sys
from pathlib import Path

from rich.console import Console

from benchmarks.common import met, parser, say_where, table, torch_spec, write_raw, write_torch_weights
from mopar.cli.bench import render_bench
from mopar.pipeline.bench import BenchOptions, bench
from mopar.pipeline.stages import PlanOptions
from mopar.types.reports import BenchReport
from tests.models import materialise

ROOT = Path(__file__).parents[1]
SEED = 0
WIDTH = 200


def goals(report: BenchReport) -> list[tuple[str, ...]]:
    """Each goal, the measured value, and whether it is met."""
    ratio = report.ratios
    wanted = (
        ("GB-s of ort-unsplit / mopar-cost", 1 / ratio["mopar-cost/ort-unsplit gb_s"], 1.7, True),
        ("GB-s of ort-tuned-unsplit / mopar-cost", 1 / ratio["mopar-cost/ort-tuned-unsplit gb_s"], 1.5, True),
        ("p50 latency of mopar-cost / ort-tuned-unsplit", ratio["mopar-cost/ort-tuned-unsplit latency"], 1.05, False),
    )
    rows = [
        (what, f"{found:.3f}", f"{'>=' if least else '<='} {goal:g}", met(found >= goal if least else found <= goal))
        for what, found, goal, least in wanted
    ]
    equal = all(row.equal for row in report.rows)
    return [*rows, ("outputs of every configuration", "equal" if equal else "NOT EQUAL", "equal", met(equal))]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--requests", type=int, default=100, help="counted requests to each (default: 100)")
    arguments.add_argument("--no-torch", action="store_true", help="leave torch-unsplit out")
    options = arguments.parse_args()
    say_where(SEED, "torch", "torchvision")
    path = materialise("resnet50")
    if not options.no_torch:
        write_torch_weights("resnet50")
    said = [""]

    def progress(stage: str, _share: float | None) -> None:
        if stage != said[0]:
            said[0] = stage
            print(f"  {stage}", file=sys.stderr, flush=True)

    report = bench(
        path,
        BenchOptions(
            plan=PlanOptions(prices="paper"),
            torch=None if options.no_torch else torch_spec("resnet50"),
            requests=options.requests,
        ),
        progress,
    )
    render_bench(Console(width=WIDTH), report)
    table(("goal", "measured", "target", ""), goals(report))
    write_raw(options.json, "resnet50", {"seed": SEED, "report": report})


if __name__ == "__main__":
    main()
