"""Residual branches in the engine's blocked layout: bottleneck blocks whose branch leaves it, and those that stay.

    python -m benchmarks.blocked_layout [--runs 60] [--json FILE]

Blocks of the four stages of a residual network, at one thread, interleaved. *Trimmed*: three blocks that each consume
a row of halo at both ends, whose branch is trimmed by Slice, or by the convolution that ``mopar.sharding.trim`` makes.
*Entered*: one block that reads a slice's input, as it is, or as ``mopar.bundle.residuals`` rewrites it.
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from benchmarks.common import parser, say_where, table, write_raw
from mopar.bundle.residuals import read_residuals_in_blocks
from mopar.engine.blocked import selecting_kernel

SEED = 0
STAGES = ((256, 64, 56), (512, 128, 28), (1024, 256, 14), (2048, 512, 7))
BLOCKS = 3


def blocks(channels: int, width: int, rows: int, count: int, *, halo: int, convolved: bool) -> onnx.ModelProto:
    """Bottlenecks of ``width`` inner channels; each loses ``halo`` rows at both ends."""
    draw = np.random.default_rng(SEED)
    weights: dict[str, np.ndarray] = {}
    nodes: list[onnx.NodeProto] = []
    x, height = "x", rows + 2 * halo * count

    def add(operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [f"t{len(nodes)}"], **attributes))
        return f"t{len(nodes) - 1}"

    def weight(values: np.ndarray) -> str:
        weights[f"w{len(weights)}"] = values
        return f"w{len(weights) - 1}"

    def filters(*shape: int) -> str:
        return weight((0.05 * draw.standard_normal(shape)).astype(np.float32))

    for _ in range(count):
        made = add("Relu", [add("Conv", [x, filters(width, channels, 1, 1)])])
        made = add("Relu", [add("Conv", [made, filters(width, width, 3, 3)], pads=[1 - halo, 1, 1 - halo, 1])])
        made = add("Conv", [made, filters(channels, width, 1, 1)])
        if halo and convolved:
            x = add("Conv", [x, weight(selecting_kernel(channels, (2 * halo + 1, 1), (halo, 0)))], group=channels)
        elif halo:
            x = add("Slice", [x, *(weight(np.array([value])) for value in (halo, height - halo, 2))])
        height -= 2 * halo
        x = add("Relu", [add("Add", [made, x])])
    given, got = ((1, channels, size, rows) for size in (rows + 2 * halo * count, rows))
    graph = helper.make_graph(
        nodes,
        "blocks",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, got)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def rewritten(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model as a bundle has it."""
    found = ir.from_proto(model)
    read_residuals_in_blocks(found)
    return ir.to_proto(found)


def interleaved_ms(models: Sequence[onnx.ModelProto], runs: int) -> list[list[float]]:
    """Times of each model's runs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [ort.InferenceSession(one.SerializeToString(), options, ["CPUExecutionProvider"]) for one in models]
    shape = sessions[0].get_inputs()[0].shape
    feeds = {"x": np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)}
    taken: list[list[float]] = [[] for _ in models]
    for _ in range(runs):
        for session, samples in zip(sessions, taken, strict=True):
            started = time.perf_counter()
            session.run(None, feeds)
            samples.append((time.perf_counter() - started) * 1e3)
    return taken


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--runs", type=int, default=60, help="of each (default: 60)")
    options = arguments.parse_args()
    say_where(SEED)
    rows, raw = [], {}
    for channels, width, size in STAGES:
        plain = blocks(channels, width, size, 1, halo=0, convolved=False)
        half = max(size // 2, 4)
        sliced, convolved = (blocks(channels, width, half, BLOCKS, halo=1, convolved=way) for way in (False, True))
        for what, pair in (("entered", (plain, rewritten(plain))), ("trimmed", (sliced, convolved))):
            taken = interleaved_ms(pair, options.runs)
            out, inside = (statistics.median(samples) for samples in taken)
            rows.append((f"{channels} x {size}", what, f"{out:.3f}", f"{inside:.3f}", f"{1 - inside / out:.1%}"))
            raw[f"{channels} {what}"] = taken
    table(("channels x size", "branch", "leaves, ms", "stays, ms", "less"), rows)
    write_raw(options.json, "blocked_layout", {"times_ms": raw})


if __name__ == "__main__":
    main()
