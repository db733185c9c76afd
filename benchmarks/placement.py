"""Gain of placing what requests read at the beginning of a packed file, over the engine's order.

    python -m benchmarks.placement [--models resnet50,bert-base,vit-b16] [--requests 40] [--json FILE]

Each model is packed both ways as one function. Required memory of both is measured under real limits; then both run in
one process on one core, interleaved, to measure the effect of the order on time. The gain depends on the disk's
read-ahead (`cat /sys/class/bdi/*/read_ahead_kb`).
"""

import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import onnxruntime as ort

from benchmarks.common import parser, say_where, spread, table, write_raw
from mopar.engine.prepack import pack_graph
from mopar.graph import load_model
from mopar.measurement.recording import record
from mopar.measurement.required_memory import required_memory
from mopar.measurement.single import chain_bundle
from mopar.platforms import host_platform
from mopar.types import PACKED_OPTIONS
from tests.models import materialise, sample_inputs


@dataclass(frozen=True, slots=True)
class Order:
    """One order of a model's file: required memory, and latencies in ms."""

    required_mib: float
    latency_ms: list[float]


def orders_of(name: str, requests: int) -> tuple[Order, Order]:
    """Measure both orders: as the engine writes the file, and as requests read it."""
    source, inputs = materialise(name), sample_inputs(name)
    model = load_model(source)
    with tempfile.TemporaryDirectory(prefix="mopar-placement-") as folder:
        with mock.patch("mopar.engine.placement.place_read_first"):
            written = pack_graph(source, Path(folder) / "written" / "model.onnx", PACKED_OPTIONS)
        placed = pack_graph(source, Path(folder) / "placed" / "model.onnx", PACKED_OPTIONS)
        memory = []
        for files in (written, placed):
            bundle = chain_bundle(model.name, (files,), (model.inputs, model.outputs), PACKED_OPTIONS)
            (function,) = bundle.manifest.plan.functions
            launch = host_platform().launch(bundle, function.name, record(bundle, inputs).calls[function.name])
            memory.append(required_memory(launch, cpu=1.0).required_mib)
        sessions = [session(files[0]) for files in (written, placed)]
        taken: tuple[list[float], list[float]] = ([], [])
        for number in range(requests):
            for turn in (0, 1) if number % 2 else (1, 0):
                started = time.perf_counter()
                sessions[turn].run(None, inputs)
                taken[turn].append((time.perf_counter() - started) * 1e3)
    return Order(memory[0], taken[0]), Order(memory[1], taken[1])


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default="resnet50,bert-base,vit-b16")
    arguments.add_argument("--requests", type=int, default=40)
    options = arguments.parse_args()
    say_where(None)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    found = {}
    for name in options.models.split(","):
        print(f"  {name}", file=sys.stderr, flush=True)
        found[name] = written, placed = orders_of(name.strip(), options.requests)
        ratio = statistics.median(placed.latency_ms) / statistics.median(written.latency_ms)
        table(
            ("model", "as written MiB", "as read MiB", "as written ms", "as read ms", "time"),
            [(name, f"{written.required_mib:.0f}", f"{placed.required_mib:.0f}",
              spread(written.latency_ms).text(".1f"), spread(placed.latency_ms).text(".1f"), f"{ratio:.3f}x")],
        )  # fmt: skip
    write_raw(options.json, "placement", {"models": found})


if __name__ == "__main__":
    main()
