"""Memory and loading of portable graphs beside packed ones: measured, and as plans for AWS Lambda predict them.

    python -m benchmarks.portable_graphs [--models resnet50,minilm,vgg16] [--slices 3] [--json FILE]

The unsplit model and slices of equal time, each with its packed graph and with its portable one, which the engine
optimises and packs while it loads: required memory under real limits, and the time from exec to ready. Predicted are
what a packed function was measured to need, with what `mopar.planning.model.portable` adds to it, and the start that
plans count. Goal: a portable function needs at most 10% more than is predicted.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, table, write_raw
from mopar.bundle import Bundle, build, open_bundle
from mopar.measurement.call_costs import init_ms
from mopar.measurement.recording import record
from mopar.measurement.required_memory import required_memory
from mopar.pipeline.profile import measure_model
from mopar.planning import plan_uniform, plan_unsplit, slice_memory_mib
from mopar.planning.model.cost_model import CostModel
from mopar.planning.model.portable import loaded_portable
from mopar.platforms import host_platform
from mopar.platforms.base import FunctionLaunch
from mopar.platforms.books import load_book, load_limits
from tests.models import materialise, sample_inputs

GOAL = 1.10
_STARTS = 5


@dataclass(frozen=True, slots=True)
class Needs:
    """What a function takes: its required memory, and from exec to ready."""

    memory_mib: float
    init_ms: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A slice of a model, with its packed graph and with its portable one.

    Attributes:
        model: its name.
        start, stop: its layers; `stop` exclusive.
        packed, portable: measured.
        predicted: of the portable one.
    """

    model: str
    start: int
    stop: int
    packed: Needs
    portable: Needs
    predicted: Needs

    @property
    def enough(self) -> bool:
        """Whether it needs no more than is predicted, within the goal."""
        return self.portable.memory_mib <= self.predicted.memory_mib * GOAL


def compared(name: str, slices: int, home: Path) -> Iterator[Compared]:
    """The unsplit model, then its slices."""
    inputs = sample_inputs(name)
    request = home / f"{name}.npz"
    np.savez(request, allow_pickle=False, **inputs)
    model, profile = measure_model(materialise(name), inputs=request)
    limits = load_limits("local")
    book, grown = load_book(limits.prices), loaded_portable(profile)
    costs = CostModel.of(profile, book, replace(limits, portable_graphs=True))
    plans = [plan_unsplit(profile, book, limits, slo_ms=None)]
    if slices > 1:
        plans.append(plan_uniform(profile, book, limits, slices, slo_ms=None))
    for number, plan in enumerate(plans):
        root = home / f"{name}-{number}"
        build(model, plan, root)
        packed = open_bundle(root, check=False)
        portable = without_packed(packed)
        calls = record(packed, inputs).calls
        for graph, function in zip(plan.graphs, plan.functions, strict=True):
            found = [
                needs_of(host_platform().launch(one, function.name, calls[function.name])) for one in (packed, portable)
            ]
            more_mib = slice_memory_mib(grown, graph.start, graph.stop) - slice_memory_mib(
                profile, graph.start, graph.stop
            )
            start_ms = costs.init_ms(costs.loading.function_ms([graph], []), 1.0)
            predicted = Needs(found[0].memory_mib + more_mib, start_ms)
            yield Compared(name, graph.start, graph.stop, found[0], found[1], predicted)


def without_packed(bundle: Bundle) -> Bundle:
    """The bundle as on a machine for which it has no packed graphs."""
    graphs = tuple(replace(graph, packed=None) for graph in bundle.manifest.graphs)
    return replace(bundle, manifest=replace(bundle.manifest, graphs=graphs))


def needs_of(launch: FunctionLaunch) -> Needs:
    found = required_memory(launch, cpu=1.0)
    return Needs(found.required_mib, statistics.median(init_ms(launch) for _ in range(_STARTS)))


def row_of(one: Compared) -> tuple[str, ...]:
    return (
        one.model,
        f"{one.start}-{one.stop - 1}",
        f"{one.packed.memory_mib:.0f}",
        f"{one.portable.memory_mib:.0f}",
        f"{one.predicted.memory_mib:.0f}",
        met(one.enough),
        f"{one.packed.init_ms:.0f}",
        f"{one.portable.init_ms:.0f}",
        f"{one.predicted.init_ms:.0f}",
    )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default="resnet50,minilm,vgg16")
    arguments.add_argument("--slices", type=int, default=3)
    options = arguments.parse_args()
    say_where(0)
    found = []
    with tempfile.TemporaryDirectory() as home:
        for name in options.models.split(","):
            for one in compared(name.strip(), options.slices, Path(home)):
                print(f"  {' '.join(row_of(one))}", file=sys.stderr, flush=True)
                found.append(one)
    columns = ("model", "layers", "packed MiB", "portable", "predicted", f"<= {GOAL:g}x")
    table((*columns, "packed init ms", "portable", "predicted"), [row_of(one) for one in found])
    write_raw(options.json, "portable_graphs", {"functions": found})


if __name__ == "__main__":
    main()
