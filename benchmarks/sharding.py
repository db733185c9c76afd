"""Predicted parallel parts: how much of each zoo model splits, the possible speed-up, and the memory of a part.

    python -m benchmarks.sharding [MODEL ..] [--measure] [--json FILE]

Coverage: the share of a model's time in layers covered by a step of two parts of which none takes over 75% of the
step's time; goal 85% for CNNs and Transformers. Tables: a part's share of the embedding tables' bytes (DLRM; goal about
half, 55% at most). Speed-up: the fastest plan of at most so many functions against the unsplit one, both with one CPU
for each function. It is a prediction: every function has a CPU of its own, contention for caches and memory is not
counted, and the costs of an exchange come from the profile and the platform ``local``, and are printed. Memory:
required memory of one of four parts of VGG-16's first fully-connected layer, as a function, against that layer's; goal
35%.
"""

import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from benchmarks.common import met, parser, say_where, table, write_raw
from mopar.costmodel.describe import describe
from mopar.engine.prepack import pack_graph
from mopar.graph import Layer, Model, extract, layers_of, load_model, save_model
from mopar.graph.model import required_spec
from mopar.measurement.recording import record
from mopar.measurement.required_memory import required_memory
from mopar.measurement.single import chain_bundle
from mopar.nodes import is_weight
from mopar.pipeline.profile import measure_model, predict_model
from mopar.planning import plan, plan_text
from mopar.platforms import host_platform
from mopar.platforms.books import load_book, load_limits
from mopar.profiling import sample_inputs as inputs_for
from mopar.profiling.shards import shard_steps
from mopar.sharding import Part, Piece, even_spans, piece_of, shard_model
from mopar.types import PACKED_OPTIONS, InfeasibleError, Profile, ShardStep
from mopar.zoo import zoo_models
from tests.models import materialise, sample_inputs

COUNTS = (2, 4, 8)
COVERED_SHARE = 0.75
COVERAGE_GOAL, TABLES_GOAL, MEMORY_GOAL = 0.85, 0.55, 0.35
GOAL_CATEGORIES = {"cnn", "transformer"}
MEMORY_MODEL, MEMORY_PARTS = "vgg16", 4


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a model splits in two; ``left`` is the time that does not, by operators, largest first."""

    model: str
    category: str
    total_ms: float
    covered_ms: float
    left: tuple[tuple[str, float], ...]

    @property
    def share(self) -> float:
        """Share of the time."""
        return self.covered_ms / self.total_ms

    @property
    def has_goal(self) -> bool:
        """Whether the goal applies."""
        return self.category in GOAL_CATEGORIES


@dataclass(frozen=True, slots=True)
class SpeedUp:
    """The fastest plan with a maximum number of parts."""

    model: str
    parts: int
    latency_ms: float
    unsplit_ms: float
    text: str


@dataclass(frozen=True, slots=True)
class Studied:
    """A model, and the best possible result of each number of parts."""

    model: Model
    layers: tuple[Layer, ...]
    profile: Profile
    steps: Mapping[int, tuple[ShardStep, ...]]


def studied(name: str, measure: bool) -> Studied:
    """Profile a model and find its sharding steps."""
    path, inputs = materialise(name), sample_inputs(name)
    archive = path.with_name("benchmark-inputs.npz")
    np.savez(archive, allow_pickle=False, **inputs)
    model, profile = (measure_model if measure else predict_model)(path, inputs=archive)
    layers = layers_of(model)
    points = describe(model, layers, {key: value.shape for key, value in inputs.items()}).inferred.points
    sizes = {key: point.bytes for key, point in points.items()}
    cuts = profile.cut_positions
    steps = {
        parts: shard_steps(model, layers, profile.layers, profile.weights, cuts, sizes, parts=(parts,))
        for parts in COUNTS
    }
    return Studied(model, layers, profile, steps)


def coverage(one: Studied, category: str) -> Coverage:
    """Coverage by steps of two parts."""
    covered = {
        layer
        for step in one.steps[2]
        if max(part.time_share for part in step.parts) <= COVERED_SHARE
        for layer in range(step.start, step.stop)
    }
    left: defaultdict[str, float] = defaultdict(float)
    for layer in one.profile.layers:
        if layer.index not in covered:
            left["+".join(dict.fromkeys(layer.operators))] += layer.latency_ms
    total = sum(layer.latency_ms for layer in one.profile.layers)
    ordered = sorted(left.items(), key=lambda item: -item[1])
    return Coverage(one.model.name, category, total, total - sum(left.values()), tuple(ordered))


def tables_share(one: Studied) -> float | None:
    """Larger share of two parts of the embedding tables' bytes, in the step with most of them; None without tables."""
    found: list[tuple[int, float]] = []
    for step in one.steps[2]:
        whole = _table_bytes(extract(one.model, step.start, step.stop, one.layers))
        if not whole or (found and whole < max(found)[0]):
            continue
        parts = []
        for part in step.parts:
            model = extract(one.model, step.start, step.stop, one.layers)
            wanted = {share.tensor: piece_of(share) for share in part.part.outputs}
            shard_model(model, wanted, Part(part.part.index, part.part.count))
            parts.append(_table_bytes(model))
        found.append((whole, max(parts) / whole))
    most = max((whole for whole, _ in found), default=0)
    return min((share for whole, share in found if whole == most), default=None)


def _table_bytes(model: ir.Model) -> int:
    read = {node.inputs[0] for node in model.graph if node.op_type == "Gather"}
    tables = [value for value in read if value is not None and is_weight(value)]
    return sum(table.const_value.nbytes for table in tables if table.const_value is not None)


def speed_up(one: Studied, parts: int) -> SpeedUp | None:
    """The fastest plan on a machine of at least that many cores; None where there is none."""
    limits = load_limits("local")
    book = load_book(limits.prices)
    # The planner allows no more parts on a machine than it has cores.
    machine = replace(one.profile.machine, cores=max(parts, one.profile.machine.cores))
    profile = replace(one.profile, shards=one.steps[parts], machine=machine)
    try:
        made = plan(profile, book, limits, objective="latency", slo_ms=None, max_functions=parts, cpu=1.0)
    except InfeasibleError:
        return None
    text = plan_text(made)
    return SpeedUp(one.model.name, parts, made.predicted.latency_ms, made.unsplit.latency_ms, text)


def memory_of_part(name: str, parts: int) -> tuple[float, float]:
    """Required memory in MiB of a model's first fully-connected layer as a function, and of one of its parts."""
    model = load_model(materialise(name))
    layers = layers_of(model)
    first = next(layer for layer in layers if {"Gemm", "MatMul"} & set(layer.operators))
    whole = extract(model, first.index, first.index + 1, layers)
    (output,) = whole.graph.outputs
    assert output.shape is not None
    width = output.shape[-1]
    assert isinstance(width, int)
    part = extract(model, first.index, first.index + 1, layers)
    piece = Piece(len(output.shape) - 1, (even_spans(width, parts)[0],))
    shard_model(part, {str(output.name): piece}, Part(0, parts))
    return _required_mib(whole), _required_mib(part)


def _required_mib(model: ir.Model) -> float:
    sides = [
        tuple(required_spec(value, "it cannot be measured:") for value in values)
        for values in (model.graph.inputs, model.graph.outputs)
    ]
    with tempfile.TemporaryDirectory(prefix="mopar-sharding-") as folder:
        source = save_model(model, Path(folder) / "source" / "slice.onnx")[0]
        packed = pack_graph(source, Path(folder) / "packed" / "slice.onnx", PACKED_OPTIONS)
        bundle = chain_bundle("part", (packed,), tuple(sides), PACKED_OPTIONS)
        (function,) = bundle.manifest.plan.functions
        recording = record(bundle, inputs_for(sides[0])[0])
        launch = host_platform().launch(bundle, function.name, recording.calls[function.name])
        return required_memory(launch, cpu=1.0).required_mib


def coverage_row(one: Coverage) -> tuple[str, ...]:
    left = ", ".join(f"{operators} {ms / one.total_ms:.1%}" for operators, ms in one.left[:4])
    goal = met(one.share >= COVERAGE_GOAL) if one.has_goal else ""
    return one.model, f"{one.total_ms:.2f}", f"{one.share:.1%}", goal, left


def speed_row(name: str, found: list[SpeedUp]) -> tuple[str, ...]:
    by_parts = {one.parts: one for one in found}
    cells = [
        f"{by_parts[parts].unsplit_ms / by_parts[parts].latency_ms:.2f}x" if parts in by_parts else "none"
        for parts in COUNTS
    ]
    unsplit = f"{found[0].unsplit_ms:.2f}" if found else ""
    return name, unsplit, *cells


def say_exchange(profile: Profile) -> None:
    """Print the assumed costs of exchanges."""
    runtime = profile.runtime
    further = "a call" if runtime.exchange_ms is None else f"{runtime.exchange_ms:.3f} ms"
    print(
        f"assumed: a call adds {runtime.hop_ms:.3f} ms, a MiB that crosses {runtime.wire_ms_per_mib:.3f} ms, "
        f"a further step {further}; a CPU for each function; contention is not counted\n"
    )


def main() -> None:
    categories = {model.name: model.category for model in zoo_models()}
    twelve = [model.name for model in zoo_models() if model.in_mean]
    arguments = parser(__doc__)
    arguments.add_argument("models", nargs="*", metavar="MODEL", default=twelve)
    arguments.add_argument("--measure", action="store_true", help="measure the profiles instead of predicting them")
    options = arguments.parse_args()
    say_where(None)
    covered: list[Coverage] = []
    tables: list[tuple[str, float]] = []
    quicker: list[tuple[str, ...]] = []
    speeds: list[SpeedUp] = []
    for name in options.models:
        print(f"  {name}", file=sys.stderr, flush=True)
        one = studied(name, options.measure)
        if not covered:
            say_exchange(one.profile)
        covered.append(coverage(one, categories[name]))
        share = tables_share(one)
        if share is not None and categories[name] == "recommendation":
            tables.append((name, share))
        found = [fast for parts in COUNTS if (fast := speed_up(one, parts)) is not None]
        speeds += found
        quicker.append(speed_row(name, found))
    table(("model", "ms", "splits in two", "goal 85%", "what does not"), [coverage_row(one) for one in covered])
    table(("model", "unsplit ms", *(f"{parts} parts" for parts in COUNTS)), quicker)
    for name, share in tables:
        print(f"{name}: one of two parts holds {share:.1%} of the tables: {met(share <= TABLES_GOAL)}")
    memory: dict[str, float] = {}
    if MEMORY_MODEL in options.models:
        whole, part = memory_of_part(MEMORY_MODEL, MEMORY_PARTS)
        memory = {"whole_mib": whole, "part_mib": part}
        print(
            f"{MEMORY_MODEL}: one of {MEMORY_PARTS} parts of the first fully-connected layer needs {part:.0f} MiB, "
            f"the layer {whole:.0f} MiB: {part / whole:.0%}, goal {MEMORY_GOAL:.0%}: {met(part / whole <= MEMORY_GOAL)}"
        )
    document = {"coverage": covered, "tables": tables, "speed_ups": speeds, "memory": memory}
    write_raw(options.json, "sharding", document)


if __name__ == "__main__":
    main()
