"""Allocators of a function: required memory and latency of models as they are, built unsplit, and built in slices.

    python -m benchmarks.allocators [--models NAME,..] [--json FILE]

Each configuration runs with every allocator that a function can have (mopar.runtime.environment): one that keeps the
pages of freed activations for the next call, and glibc's with its own thresholds. Memory is required memory with
headroom, summed over functions; latency the median of interleaved requests to all functions together, without limits.
What mopar builds is served with the first; `mopar bench` measures both for each baseline and takes the one that serves
it best: the least memory among those within 2% of the fastest.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import architectures
from benchmarks.common import parser, say_where, table, write_raw
from mopar.bundle import build, open_bundle
from mopar.gateway.arrays import Array
from mopar.pipeline.bench.configs import Config, untouched
from mopar.pipeline.bench.needs import best_of, interleaved_ms, launches_of, with_allocator, with_needs
from mopar.pipeline.profile import predict_model
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.runtime.environment import ALLOCATORS
from tests import models as zoo

MODELS = ("alexnet", "vgg16", "resnet50", "efficientnet-b0", "minilm", "bert-base")
SLICES = 4


@dataclass(frozen=True, slots=True)
class Compared:
    """A configuration: memory in MiB and latency in ms with each of ``ALLOCATORS``, and the one that serves it best."""

    model: str
    config: str
    memory_mib: tuple[float, ...]
    latency_ms: tuple[float, ...]
    best: str


def model_of(name: str) -> tuple[Path, Mapping[str, Array]]:
    """A model of the zoo, or an architecture in full size, and a request."""
    if name in zoo.MODELS:
        return zoo.materialise(name), zoo.sample_inputs(name)
    item = architectures.FULL[name]
    return architectures.materialise(item), item.request()


def configs_of(path: Path, inputs: Mapping[str, Array], root: Path) -> Iterator[Config]:
    """The model as it is, built as one function, and built in slices of equal time."""
    shapes = {name: "x".join(map(str, value.shape)) for name, value in inputs.items()}
    model, profile = predict_model(path, shapes=shapes)
    yield untouched(model, root)
    slices = f"{SLICES} slices"
    for config, options in (("unsplit", PlanOptions(cuts=(), slo_ms=None)), (slices, PlanOptions(uniform=SLICES))):
        plan = make_plan(profile, options)
        build(model, plan, root / config)
        yield Config(config, open_bundle(root / config, check=False), plan)


def compare(name: str) -> Iterator[Compared]:
    """Measure a model's configurations with each allocator."""
    path, inputs = model_of(name)
    with tempfile.TemporaryDirectory(prefix="mopar-allocators-") as folder:
        for config in configs_of(path, inputs, Path(folder)):
            candidates = [with_allocator(config, allocator) for allocator in ALLOCATORS]
            launches = [launches_of(candidate, inputs) for candidate in candidates]
            found = [
                with_needs(candidate, each, lambda _stage, _share: None)
                for candidate, each in zip(candidates, launches, strict=True)
            ]
            latency_ms = interleaved_ms(launches)
            yield Compared(
                name,
                config.name,
                tuple(one.memory_mib for one in found),
                tuple(latency_ms),
                best_of(found, latency_ms).config.bundle.manifest.allocator,
            )


def row_of(found: Compared) -> tuple[str, ...]:
    """A row of the table."""
    cells = [
        cell for mib, ms in zip(found.memory_mib, found.latency_ms, strict=True) for cell in (f"{mib:.0f}", f"{ms:.2f}")
    ]
    return (found.model, found.config, *cells, found.best)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=",".join(MODELS), metavar="NAME,..")
    options = arguments.parse_args()
    say_where(None)
    found = []
    for name in options.models.split(","):
        for one in compare(name):
            found.append(one)
            print(*row_of(one), file=sys.stderr, flush=True)
    columns = [f"{allocator}, {unit}" for allocator in ALLOCATORS for unit in ("MiB", "ms")]
    table(("model", "as", *columns, "best"), [row_of(one) for one in found])
    write_raw(options.json, "allocators", {"allocators": ALLOCATORS, "found": found})


if __name__ == "__main__":
    main()
