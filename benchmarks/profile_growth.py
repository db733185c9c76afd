"""Growth of a predicted profile's time and size with the number of layers, and the time to plan from it.

    python -m benchmarks.profile_growth [LAYERS ..] [--json FILE]

Chains of matrix products of 64 rows and 128 columns, and residual blocks of two products with the same total. Every
position may be cut, and every run of layers splits by rows: the largest possible number of sharding steps. A line for
each: CPU seconds of loading and predicting, MB of the profile file, its steps, and CPU seconds of the cheapest plan.
Goals, of chains: 500 products in 10 s, 5,000 in 120 s; of ResNet-50: below 1 MB.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, save

from benchmarks.common import met, parser, say_where, table, write_raw
from mopar.pipeline.profile import predict_model
from mopar.pipeline.stages import PlanOptions, make_plan
from mopar.profiling.document import profile_json
from tests.models import materialise

SEED = 20240402
ROWS, COLUMNS = 64, 128
GOALS = {500: 10.0, 5000: 120.0}
"""Goals in CPU seconds, by number of products."""
RESNET, RESNET_MB = "resnet50", 1.0


@dataclass(frozen=True, slots=True)
class Growth:
    """Cost of profiling and planning a model; ``products`` is 0 for ResNet-50."""

    model: str
    products: int
    layers: int
    profile_cpu_s: float
    size_mb: float
    steps: int
    plan_cpu_s: float


def chain(count: int) -> ModelProto:
    """A chain of products."""
    names = ["x", *(f"t{at}" for at in range(1, count)), "y"]
    nodes = [helper.make_node("MatMul", [names[at], f"w{at}"], [names[at + 1]]) for at in range(count)]
    return _model(nodes, count)


def residual(count: int) -> ModelProto:
    """Blocks of two products with activations and a residual sum."""
    nodes, entered = [], "x"
    for at in range(0, count, 2):
        made = "y" if at + 2 >= count else f"b{at}"
        nodes += [
            helper.make_node("MatMul", [entered, f"w{at}"], [f"m{at}"]),
            helper.make_node("Relu", [f"m{at}"], [f"r{at}"]),
            helper.make_node("MatMul", [f"r{at}", f"w{at + 1}"], [f"n{at}"]),
            helper.make_node("Add", [f"n{at}", entered], [made]),
        ]
        entered = made
    return _model(nodes, count + count % 2)


def _model(nodes: Sequence[NodeProto], weights: int) -> ModelProto:
    rng = np.random.default_rng(SEED)
    scale = COLUMNS**-0.5
    drawn = (rng.standard_normal((COLUMNS, COLUMNS), dtype=np.float32) * scale for _ in range(weights))
    stored = [numpy_helper.from_array(array, f"w{at}") for at, array in enumerate(drawn)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [ROWS, COLUMNS]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "growth", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def growth(name: str, path: Path, products: int) -> Growth:
    """Profile and plan a model."""
    begin = time.process_time()
    _, profile = predict_model(path)
    profiled = time.process_time()
    size_mb = len(profile_json(profile)) / 1e6
    ready = time.process_time()
    make_plan(profile, PlanOptions())
    planned = time.process_time()
    return Growth(
        name, products, len(profile.layers), profiled - begin, size_mb, len(profile.shards), planned - ready
    )  # fmt: skip


def goals(found: Sequence[Growth]) -> list[str]:
    """Each goal and whether it is met, for the sizes that were measured."""
    said = [
        f"{one.products} products: {one.profile_cpu_s:.1f} CPU s (goal {goal:g}: {met(one.profile_cpu_s <= goal)})"
        for one in found
        if one.model == "chain" and (goal := GOALS.get(one.products)) is not None
    ]
    sizes = [one.size_mb for one in found if one.model == RESNET]
    return said + [f"{RESNET}: {size:.2f} MB (goal below {RESNET_MB:g}: {met(size < RESNET_MB)})" for size in sizes]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("layers", nargs="*", type=int, default=[100, 200, 500, 1000, 5000])
    options = arguments.parse_args()
    say_where(SEED)
    found = [growth(RESNET, materialise(RESNET), 0)]
    with tempfile.TemporaryDirectory() as folder:
        for count in options.layers:
            for make in (chain, residual):
                path = Path(folder) / f"{make.__name__}.onnx"
                save(make(count), path)
                found.append(growth(make.__name__, path, count))
    rows = [
        (one.model, f"{one.products or '-'}", f"{one.layers}", f"{one.profile_cpu_s:.1f}", f"{one.size_mb:.2f}",
         f"{one.steps}", f"{one.plan_cpu_s:.1f}")
        for one in found
    ]  # fmt: skip
    table(("model", "products", "layers", "profile CPU s", "MB", "steps", "plan CPU s"), rows)
    print("\n".join(goals(found)))
    write_raw(options.json, "profile_growth", {"seed": SEED, "samples": found})


if __name__ == "__main__":
    main()
