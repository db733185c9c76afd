"""Small models, each with one feature that cutting can get wrong. No torch."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.models.builder import Builder


def mlp(path: Path) -> None:
    """A plain chain."""
    g = Builder("mlp")
    x = g.input("x", [1, 16])
    for width_in, width_out in ((16, 32), (32, 32), (32, 24)):
        x = g.linear(x, width_in, width_out)
    g.add("Gemm", x, g.weight(8, 24), transB=1, output="y")
    g.output("y", [1, 8])
    g.save(path)


def skip(path: Path) -> None:
    """Residual sums, and a skip connection over most of the model: up to three tensors cross a cut."""
    g = Builder("skip")
    early = g.linear(g.input("x", [1, 16]), 16, 16)
    x = early
    for _ in range(3):
        inner = g.linear(g.linear(x, 16, 16), 16, 16, "Tanh")
        x = g.add("Add", x, inner)
    joined = g.add("Concat", x, early, axis=1)
    g.add("Softmax", g.linear(joined, 32, 8), axis=1, output="y")
    g.output("y", [1, 8])
    g.save(path)


def shared_weights(path: Path) -> None:
    """One matrix embeds the input and, transposed, decodes the output; another serves two layers."""
    g = Builder("shared_weights")
    table, square = g.weight(32, 16), g.weight(16, 16)
    x = g.add("Gather", table, g.input("ids", [1, 5], TensorProto.INT64), axis=0)
    x = g.add("Tanh", g.add("MatMul", x, square))
    x = g.add("Tanh", g.add("MatMul", x, square))
    g.add("MatMul", x, g.add("Transpose", table, perm=[1, 0]), output="logits")
    g.output("logits", [1, 5, 32])
    g.save(path)


def towers(path: Path) -> None:
    """Two inputs that are joined late."""
    g = Builder("towers")
    left = g.linear(g.linear(g.input("user", [1, 16]), 16, 32), 32, 8, "Tanh")
    right = g.linear(g.linear(g.input("item", [1, 24]), 24, 32), 32, 8, "Tanh")
    together = g.add("Concat", g.add("Mul", left, right), left, right, axis=1)
    g.add("Sigmoid", g.linear(together, 24, 1, "Tanh"), output="score")
    g.output("score", [1, 1])
    g.save(path)


def two_input(path: Path) -> None:
    """The large two-input model: a convolutional tower and a wide one, 25 MB of weights, some milliseconds."""
    g = Builder("two_input")
    picture = g.input("picture", [1, 3, 96, 96])
    for channels_in, channels_out, stride in ((3, 32, 2), (32, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1)):
        picture = g.conv(picture, channels_in, channels_out, stride)
    pooled = g.add("MaxPool", picture, kernel_shape=[6, 6], strides=[6, 6])
    seen = g.linear(g.add("Flatten", pooled), 128 * 4 * 4, 256, "Tanh")
    known = g.input("features", [1, 512])
    for width_in, width_out in ((512, 2048), (2048, 1024), (1024, 1024), (1024, 256)):
        known = g.linear(known, width_in, width_out, "Relu" if width_out > 256 else "Tanh")
    x = g.add("Concat", g.add("Mul", seen, known), seen, known, axis=1)
    x = g.linear(g.linear(x, 768, 1024), 1024, 256)
    g.add("Gemm", x, g.weight(10, 256), transB=1, output="scores")
    g.output("scores", [1, 10])
    g.save(path)


def if_capture(path: Path) -> None:
    """An If whose branches read tensors and a weight of the outer graph."""
    g = Builder("if_capture")
    x = g.linear(g.input("x", [1, 16]), 16, 16, "Tanh")
    y = g.linear(x, 16, 16, "Tanh")
    outer_weight = g.weight(16, 16)
    total = g.add("ReduceSum", y, keepdims=0)
    condition = g.add("Greater", total, g.value(np.float32(0.0)))
    branches = {}
    for branch, operator, other in (("then_branch", "Add", x), ("else_branch", "Mul", y)):
        body = Builder(branch)
        product = body.add("MatMul", y, outer_weight, output=f"{branch}_product")
        body.add(operator, product, other, output=f"{branch}_out")
        body.output(f"{branch}_out", [1, 16])
        branches[branch] = body.graph()
    z = g.add("If", condition, **branches)
    g.add("Gemm", z, g.weight(4, 16), transB=1, output="y")
    g.output("y", [1, 4])
    g.save(path)


def loop_capture(path: Path) -> None:
    """A Loop whose body reads a tensor and a weight of the outer graph."""
    g = Builder("loop_capture")
    x = g.linear(g.input("x", [1, 16]), 16, 16, "Tanh")
    outer_weight = g.weight(16, 16)
    body = Builder("body")
    body.input("i", [], TensorProto.INT64)
    body.input("go_on", [], TensorProto.BOOL)
    body.input("state", [1, 16])
    body.add("Identity", "go_on", output="go_on_out")
    moved = body.add("MatMul", "state", outer_weight, output="body_product")
    body.add("Tanh", body.add("Add", moved, x, output="body_sum"), output="state_out")
    body.output("go_on_out", [], TensorProto.BOOL)
    body.output("state_out", [1, 16])
    trips, start = g.value(np.int64(3)), g.value(np.array(True))
    z = g.add("Loop", trips, start, x, body=body.graph())
    g.add("Gemm", z, g.weight(4, 16), transB=1, output="y")
    g.output("y", [1, 4])
    g.save(path)


def multi_output(path: Path) -> None:
    """Outputs from the middle (which later layers read too), of integers and of booleans."""
    g = Builder("multi_output")
    x = g.linear(g.input("x", [1, 16]), 16, 16)
    g.add("Tanh", x, output="features")
    y = g.linear("features", 16, 8, "Tanh")
    g.add("ArgMax", y, axis=1, keepdims=0, output="label")
    g.add("Greater", y, g.value(np.float32(0.1)), output="chosen")
    g.add("Gemm", y, g.weight(4, 8), transB=1, output="scores")
    g.output("scores", [1, 4])
    g.output("features", [1, 16])
    g.output("label", [1], TensorProto.INT64)
    g.output("chosen", [1, 8], TensorProto.BOOL)
    g.save(path)


def conv_chain(path: Path) -> None:
    """A small CNN: batch norms that are folded, pooling, a classifier."""
    g = Builder("conv_chain")
    x = g.input("image", [1, 3, 32, 32])
    for channels_in, channels_out in ((3, 8), (8, 16), (16, 16)):
        x = g.conv(x, channels_in, channels_out)
        variance = g.value(np.abs(g.random.standard_normal(channels_out)).astype(np.float32) + np.float32(0.5))
        scale, shift, mean = g.weight(channels_out), g.weight(channels_out), g.weight(channels_out)
        x = g.add("BatchNormalization", x, scale, shift, mean, variance)
    x = g.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.add("Flatten", g.add("GlobalAveragePool", x))
    g.add("Gemm", x, g.weight(5, 16), transB=1, output="y")
    g.output("y", [1, 5])
    g.save(path)


def inception(path: Path) -> None:
    """Two blocks of parallel branches that are joined by their channels, as in Inception, and a classifier."""
    g = Builder("inception")
    x = g.conv(g.input("image", [1, 3, 16, 16]), 3, 8)
    for channels in (8, 24):
        narrow = g.add("Relu", g.add("Conv", x, g.weight(8, channels, 1, 1), g.weight(8)))
        deep = g.conv(g.conv(x, channels, 12), 12, 8)
        pooled = g.add("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        pooled = g.add("Relu", g.add("Conv", pooled, g.weight(8, channels, 1, 1), g.weight(8)))
        x = g.add("Concat", narrow, deep, pooled, axis=1)
    x = g.add("Flatten", g.add("GlobalAveragePool", x))
    g.add("Gemm", x, g.weight(5, 24), transB=1, output="y")
    g.output("y", [1, 5])
    g.save(path)


def constant_weights(path: Path) -> None:
    """Every weight is a Constant node; there is no initializer."""
    g = Builder("constant_weights")
    g.constants = True
    x = g.linear(g.linear(g.input("x", [1, 16]), 16, 32), 32, 16, "Tanh")
    g.add("Gemm", x, g.weight(4, 16), transB=1, output="y")
    g.output("y", [1, 4])
    g.save(path)


def symbolic(path: Path) -> None:
    """Symbolic batch and time axes; a Reshape computes its target from the input's shape."""
    g = Builder("symbolic")
    x = g.input("x", ["batch", "seq", 16])
    shape = g.add("Shape", x)
    rows = g.add("Reshape", x, g.ints(-1, 16))
    rows = g.linear(g.linear(rows, 16, 32), 32, 8, "Tanh")
    lead = g.add("Slice", shape, g.ints(0), g.ints(2))
    y = g.add("Reshape", rows, g.add("Concat", lead, g.ints(8), axis=0))
    g.add("Softmax", y, axis=-1, output="y")
    g.output("y", ["batch", "seq", 8])
    g.save(path)


def lstm(path: Path) -> None:
    """An LSTM in both directions; optional inputs left out, several outputs."""
    g = Builder("lstm")
    x = g.input("x", [6, 1, 8])
    weights = g.weight(2, 64, 8), g.weight(2, 64, 16), g.weight(2, 128)
    g.nodes.append(
        helper.make_node(
            "LSTM", [x, *weights], ["steps", "last", ""], name="lstm", hidden_size=16, direction="bidirectional"
        )
    )
    joined = g.add("Reshape", g.add("Transpose", "steps", perm=[0, 2, 1, 3]), g.ints(6, 1, 32))
    g.add("MatMul", joined, g.weight(32, 4), output="y")
    g.output("y", [6, 1, 4])
    g.output("last", [2, 1, 16])
    g.save(path)


def sequence(path: Path) -> None:
    """A sequence is live in the middle, where no cut is possible."""
    g = Builder("sequence")
    x = g.linear(g.input("x", [1, 16]), 16, 16, "Tanh")
    parts = g.add("SplitToSequence", x, g.ints(4, 12), axis=1)
    first = g.add("SequenceAt", parts, g.value(np.int64(0)))
    joined = g.add("ConcatFromSequence", parts, axis=1)
    y = g.add("Concat", first, joined, axis=1)
    g.add("Gemm", y, g.weight(4, 20), transB=1, output="y")
    g.output("y", [1, 4])
    g.save(path)


def unknown_size(path: Path) -> None:
    """An output, and a tensor in the middle, whose size depends on the values."""
    g = Builder("unknown_size")
    x = g.linear(g.input("x", [1, 16]), 16, 16)
    found = g.add("NonZero", x)
    g.add("GatherND", x, g.add("Transpose", found, perm=[1, 0]), output="values")
    g.add("ReduceMean", "values", keepdims=0, output="mean")
    g.output("values", ["found"])
    g.output("mean", [])
    g.save(path)


def half(path: Path) -> None:
    """Everything in float16."""
    g = Builder("half")
    x = g.input("x", [1, 16], TensorProto.FLOAT16)
    for width_out in (32, 8):
        kernel = g.random.standard_normal((16 if width_out == 32 else 32, width_out)) / 4
        x = g.add("Tanh", g.add("MatMul", x, g.value(kernel.astype(np.float16))))
    g.add("Identity", x, output="y")
    g.output("y", [1, 8], TensorProto.FLOAT16)
    g.save(path)


def external(path: Path) -> None:
    """Weights in a file beside the model."""
    g = Builder("external")
    x = g.linear(g.linear(g.input("x", [1, 64]), 64, 128), 128, 128)
    g.add("Gemm", x, g.weight(8, 128), transB=1, output="y")
    g.output("y", [1, 8])
    path.with_name(f"{path.name}.data").unlink(missing_ok=True)  # onnx appends to an existing file
    onnx.save(
        g.model(),
        path,
        save_as_external_data=True,
        location=f"{path.name}.data",
        size_threshold=0,
        convert_attribute=False,
    )
