"""Required memory of slices on an empty node, and while others map the libraries, at two read-aheads.

    python -m benchmarks.empty_node [--models resnet50,minilm] [--repeat 3] [--json FILE]

Every function of each model's `mopar-cost` plan, packed, is measured under real limits in four ways: with Python and
all libraries on a disk that nothing else reads, all evicted before each run, or mapped by a worker of another function;
and with 128 KiB and 8 MiB of read-ahead. The disk is a file on a loop device, which needs root; no setting of another
disk is changed. Each measurement is a search for the limit below which the function slows down; repeated, it may end
up to 3 MiB off, so the median of --repeat counts. Goal: the four medians of each function are within 3 MiB. The last
column is the widest range of the repetitions of one way: how much of the spread is the search's own.
"""

import signal
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common import met, parser, say_where, table, write_raw
from mopar.bundle import build, open_bundle
from mopar.files import temporary_folder
from mopar.measurement.memory_search import MemoryMeasurement
from mopar.measurement.policy import MEMORY
from mopar.measurement.recording import record
from mopar.measurement.required_memory import required_memory
from mopar.pipeline.profile import measure_model
from mopar.pipeline.stages import PlanOptions, make_plan
from tests.measurement.node import Node, NodeLaunch, own_node
from tests.models import materialise, sample_inputs

READ_AHEADS_KIB = (128, 8192)
GOAL_MIB = 3.0
FINE = replace(MEMORY, resolution_mib=1.0)


@dataclass(frozen=True, slots=True)
class Measured:
    """A function, measured in one way.

    Attributes:
        model: it is a slice of.
        function: its name.
        way: `shared` or `private`, and the read-ahead in KiB.
        found: its required memory, once per repetition.
    """

    model: str
    function: str
    way: str
    found: tuple[MemoryMeasurement, ...]

    @property
    def needs(self) -> list[float]:
        """Required memory by each repetition, in MiB."""
        return [one.required_mib for one in self.found]


def functions_of(name: str, node: Node) -> list[tuple[str, NodeLaunch]]:
    """Name of each function of the model's plan, and its launch."""
    inputs = sample_inputs(name)
    path = node.root / f"{name}.npz"
    np.savez(path, allow_pickle=False, **inputs)
    model, profile = measure_model(materialise(name), inputs=path)
    plan = make_plan(profile, PlanOptions(prices="paper"))
    build(model, plan, node.root / name)
    bundle = open_bundle(node.root / name)
    calls = record(bundle, inputs).calls
    return [(function.name, node.launch(bundle, function.name, calls[function.name])) for function in plan.functions]


def in_all_ways(name: str, node: Node, repeat: int) -> Iterator[list[Measured]]:
    """The four ways of each function, each measured `repeat` times."""
    functions = functions_of(name, node)
    for number, (function, launch) in enumerate(functions):
        other = functions[number - 1][1]
        found = []
        for kib in READ_AHEADS_KIB:
            node.read_ahead(kib)
            with other.served():
                found.append(Measured(name, function, f"shared, {kib} KiB", needed(launch, repeat)))
            found.append(Measured(name, function, f"private, {kib} KiB", needed(launch.alone(), repeat)))
        yield found


def needed(launch: NodeLaunch, repeat: int) -> tuple[MemoryMeasurement, ...]:
    return tuple(required_memory(launch, cpu=1.0, policy=FINE) for _ in range(repeat))


def row_of(found: list[Measured]) -> tuple[str, ...]:
    medians = [statistics.median(one.needs) for one in found]
    spread = max(medians) - min(medians)
    own = max(max(one.needs) - min(one.needs) for one in found)
    figures = [f"{median:.1f}" for median in medians]
    return found[0].model, found[0].function, *figures, f"{spread:.1f}", met(spread <= GOAL_MIB), f"{own:.1f}"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default="resnet50,minilm")
    arguments.add_argument("--repeat", type=int, default=3, help="measurements of each way")
    options = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the disk is taken away again
    say_where(0)
    measured: list[list[Measured]] = []
    with temporary_folder("mopar-empty-node-") as folder, own_node(Path(folder)) as node:
        for name in options.models.split(","):
            for found in in_all_ways(name.strip(), node, max(1, options.repeat)):
                print(f"  {' '.join(row_of(found))}", file=sys.stderr, flush=True)
                measured.append(found)
    ways = [f"{one.way}: MiB" for one in measured[0]]
    columns = ("model", "function", *ways, "spread", f"<= {GOAL_MIB:g} MiB", "range")
    table(columns, [row_of(found) for found in measured])
    write_raw(options.json, "empty_node", {"seed": 0, "functions": [one for found in measured for one in found]})


if __name__ == "__main__":
    main()
