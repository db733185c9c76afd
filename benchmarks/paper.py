"""The twelve reference models in all configurations of `mopar bench`, and their means beside the paper's figures.

    python -m benchmarks.paper [--models vgg16,gcn] [--requests 30] [--fresh] [--json FILE]

One interleaved run for each model, in a process of its own: ort-unsplit, ort-tuned-unsplit and its form with as many
CPUs as parallel parts have, torch-unsplit, uniform, mopar-cost, mopar-balanced, mopar-latency. Every function has the
limit that it was measured to need, and one CPU. Prices: `paper`, with AWS Lambda, Azure and OpenFaaS beside it. Each
model's report is kept under .cache for the version of the code, so that an interrupted run continues; --fresh measures
again. All twelve take an hour or two.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.common import code_digest, met, parser, say_where, table, torch_spec, write_raw, write_torch_weights
from benchmarks.paper_tables import compared_with_paper, goals, groups_of, means, model_rows
from mopar.files import read_json, to_json, write_whole
from mopar.pipeline.bench import BenchOptions, bench
from mopar.pipeline.stages import PlanOptions
from mopar.types import UsageError
from mopar.types.reports import BenchReport
from mopar.zoo import find_model, zoo_models
from mopar.zoo.model import ZooModel
from tests.models import materialise

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".cache" / "benchmarks" / "paper"


def twelve() -> list[ZooModel]:
    """The models over which means are taken: without real weights."""
    return [model for model in zoo_models() if not model.trained]


def measured(name: str, requests: int) -> None:
    """Measure one model, and keep its report."""
    options = BenchOptions(
        plan=PlanOptions(platform="local"),
        torch=torch_spec(name),
        requests=requests,
        inputs=materialise(name).with_suffix(".inputs.npz"),
    )

    def progress(stage: str, _share: float | None) -> None:
        print(f"  {name}: {stage}", file=sys.stderr, flush=True)

    path = kept(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, to_json(bench(materialise(name), options, progress)))


def kept(name: str) -> Path:
    """Where a model's report is kept."""
    return RESULTS / code_digest() / f"{name}.json"


def reports(models: Iterable[ZooModel], requests: int, *, fresh: bool) -> dict[str, BenchReport]:
    """Each model's report, as kept or by a process of its own."""
    found = {}
    for model in models:
        path = kept(model.name)
        if fresh:
            path.unlink(missing_ok=True)
        if not path.exists():
            started = time.monotonic()
            write_torch_weights(model.name)
            one = [sys.executable, "-m", "benchmarks.paper", "--one", model.name, f"--requests={requests}"]
            subprocess.run(one, cwd=ROOT, check=True)
            print(f"{model.name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        found[model.name] = read_json(path, BenchReport, error=UsageError)
    return found


def say_found(found: dict[str, BenchReport]) -> None:
    """Print the tables."""
    categories = {name: find_model(name).category for name in found}
    for name, report in found.items():
        ahead = "unknown" if report.read_ahead_kib is None else f"{report.read_ahead_kib} KiB"
        print(f"{name} ({categories[name]}), {report.requests} requests each, read-ahead {ahead}\n")
        table(*model_rows(report))
    for title, chosen in groups_of(categories):
        print(f"geometric means over {title}: {', '.join(chosen)}\n")
        table(*means([found[name] for name in chosen]))
    print("beside the paper\n")
    table(*compared_with_paper(list(found.values())))
    columns, rows = goals([report for name, report in found.items() if categories[name] in ("cnn", "transformer")])
    print("goals, over CNNs and Transformers\n")
    table((*columns, ""), [(*row, met(reached)) for *row, reached in rows])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", help="names, separated by commas (default: all twelve)")
    arguments.add_argument("--requests", type=int, default=30, help="counted requests to each (default: 30)")
    arguments.add_argument("--fresh", action="store_true", help="measure again what is kept")
    arguments.add_argument("--one", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.one is not None:
        measured(options.one, options.requests)
        return
    say_where(0, "torch")
    names = options.models.split(",") if options.models else [model.name for model in twelve()]
    found = reports([find_model(name) for name in names], options.requests, fresh=options.fresh)
    say_found(found)
    write_raw(options.json, "paper", {"reports": found})


if __name__ == "__main__":
    main()
