"""Small models for the tests of graphs, each with one feature."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.graph.composed import Array

Made = tuple[Path, dict[str, Array]]
_RNG_SEED = 7


def weight(name: str, *shape: int, dtype: type = np.float32) -> onnx.TensorProto:
    """A weight of normal numbers, the same for the same name."""
    rng = np.random.default_rng([_RNG_SEED, *name.encode()])
    return numpy_helper.from_array((rng.standard_normal(shape) * 0.3).astype(dtype), name)


def floats(*shape: int) -> Array:
    return np.random.default_rng(_RNG_SEED).standard_normal(shape).astype(np.float32)


def info(name: str, *shape: int | str, dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    *,
    domains: Sequence[tuple[str, int]] = (("", 17),),
    functions: Sequence[onnx.FunctionProto] = (),
) -> Path:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializer=weights)
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains]
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9), path)
    return path


def skip(folder: Path) -> Made:
    """A skip connection over two convolutions, a batch norm, and a batch of any size."""
    nodes = [
        helper.make_node("Conv", ["x", "k1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Conv", ["r", "k2"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "r"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("MaxPool", ["e"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"]),
    ]
    weights = [weight("k1", 16, 3, 3, 3), weight("k2", 16, 16, 3, 3), weight("w", 16, 5)]
    weights += [weight("s", 16), weight("b", 16), weight("m", 16)]
    weights.append(numpy_helper.from_array(np.full(16, 0.7, dtype=np.float32), "v"))
    path = save(folder / "skip.onnx", nodes, [info("x", "n", 3, 8, 8)], [info("y", "n", 5)], weights)
    return path, {"x": floats(3, 3, 8, 8)}


def shared_weight(folder: Path) -> Made:
    """One weight in three places; an early output that is also read later; an input that is an output."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["early"]),
        helper.make_node("Tanh", ["early"], ["t"]),
        helper.make_node("MatMul", ["t", "w"], ["b"]),
        helper.make_node("Mul", ["b", "z"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["d"]),
        helper.make_node("Add", ["d", "early"], ["y"]),
    ]
    inputs = [info("x", 2, 16), info("z", 2, 16)]
    outputs = [info("early", 2, 16), info("z", 2, 16), info("y", 2, 16)]
    path = save(folder / "shared.onnx", nodes, inputs, outputs, [weight("w", 16, 16)])
    return path, {"x": floats(2, 16), "z": floats(2, 16) + 1}


def constant_nodes(folder: Path) -> Made:
    """Weights as Constant nodes, a shape computed from constants, dead and nameless nodes, an unused weight."""
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight("w", 16, 32)),
        helper.make_node("Constant", [], ["two"], value_int=2),
        helper.make_node("Constant", [], ["dims"], value_ints=[-1, 4]),
        helper.make_node("Mul", ["dims", "two"], ["shape"]),
        helper.make_node("MatMul", ["x", "w"], ["a"], name="given"),
        helper.make_node("Exp", ["a"], ["dead"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Cast", ["shape"], ["shape64"], to=TensorProto.INT64),
        helper.make_node("Abs", ["shape64"], ["abs"]),
        helper.make_node("Constant", [], ["back"], value_ints=[-1, 8]),
        helper.make_node("Reshape", ["r", "back"], ["y"]),
        helper.make_node("Cast", ["abs"], ["dead2"], to=TensorProto.FLOAT),
    ]
    path = save(folder / "constants.onnx", nodes, [info("x", 2, 16)], [info("y", 8, 8)], [weight("unused", 64)])
    return path, {"x": floats(2, 16)}


def branches(folder: Path) -> Made:
    """If with branches that capture tensors and an outer weight; their own weights have the same name."""
    then_nodes = [helper.make_node("MatMul", ["a", "inner"], ["t"])]
    then = helper.make_graph(then_nodes, "then", [], [info("t", 2, 16)], [weight("inner", 16, 16)])
    other_nodes = [helper.make_node("MatMul", ["b", "inner"], ["q"]), helper.make_node("Add", ["q", "w"], ["o"])]
    inner = numpy_helper.from_array(np.eye(16, dtype=np.float32), "inner")
    other = helper.make_graph(other_nodes, "else", [], [info("o", 2, 16)], [inner])
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["a"]),
        helper.make_node("MatMul", ["a", "w2"], ["b"]),
        helper.make_node("Tanh", ["b"], ["c"]),
        helper.make_node("If", ["flag"], ["chosen"], then_branch=then, else_branch=other),
        helper.make_node("Mul", ["chosen", "c"], ["y"]),
    ]
    inputs = [info("x", 2, 16), info("flag", dtype=TensorProto.BOOL)]
    weights = [weight("w", 2, 16), weight("w2", 16, 16)]
    path = save(folder / "branches.onnx", nodes, inputs, [info("y", 2, 16)], weights)
    return path, {"x": floats(2, 16), "flag": np.array(False)}


def loop(folder: Path) -> Made:
    """Loop whose body captures a computed tensor and a weight, and keeps a state."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["m"]),
            helper.make_node("Add", ["m", "a"], ["s"]),
            helper.make_node("Tanh", ["s"], ["next"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [info("i", dtype=TensorProto.INT64), info("go", dtype=TensorProto.BOOL), info("state", 2, 16)],
        [info("on", dtype=TensorProto.BOOL), info("next", 2, 16)],
    )
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["a"]),
        helper.make_node("Exp", ["a"], ["b"]),
        helper.make_node("Loop", ["times", "", "b"], ["l"], body=body),
        helper.make_node("Sub", ["l", "a"], ["y"]),
    ]
    inputs = [info("x", 2, 16), info("times", dtype=TensorProto.INT64)]
    path = save(folder / "loop.onnx", nodes, inputs, [info("y", 2, 16)], [weight("w", 16, 16)])
    return path, {"x": floats(2, 16), "times": np.array(3, dtype=np.int64)}


def lstm(folder: Path) -> Made:
    """A bidirectional LSTM with inputs left out, over a sequence of any length."""
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r", "", "", "h"], ["o", "last"], hidden_size=8, direction="bidirectional"),
        helper.make_node("Transpose", ["o"], ["t"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["t", "shape"], ["f"]),
        helper.make_node("MatMul", ["f", "p"], ["y"]),
    ]
    weights = [weight("w", 2, 32, 4), weight("r", 2, 32, 8), weight("p", 16, 3)]
    weights.append(numpy_helper.from_array(np.array([0, 0, 16], dtype=np.int64), "shape"))
    inputs = [info("x", "t", "n", 4), info("h", 2, "n", 8)]
    path = save(folder / "lstm.onnx", nodes, inputs, [info("y", "t", "n", 3), info("last", 2, "n", 8)], weights)
    return path, {"x": floats(5, 2, 4), "h": floats(2, 2, 8)}


def contrib(folder: Path) -> Made:
    """Operators of the engine's own domain, whose types ONNX cannot infer."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("FastGelu", ["a", "b"], ["g"], domain="com.microsoft"),
        helper.make_node("SkipLayerNormalization", ["g", "a", "s"], ["l"], domain="com.microsoft"),
        helper.make_node("MatMul", ["l", "w"], ["m"]),
        helper.make_node("Tanh", ["m"], ["y"]),
    ]
    weights = [weight("w", 16, 16), weight("b", 16), weight("s", 16)]
    domains = [("", 17), ("com.microsoft", 1)]
    path = save(
        folder / "contrib.onnx", nodes, [info("x", "n", 4, 16)], [info("y", "n", 4, 16)], weights, domains=domains
    )
    return path, {"x": floats(2, 4, 16)}


def strings(folder: Path) -> Made:
    """A string input that is live for a while beside a tensor."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Identity", ["s"], ["n"]),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node(
            "LabelEncoder", ["n"], ["i"], domain="ai.onnx.ml", keys_strings=["cat", "dog"], values_floats=[1.0, 2.0]
        ),
        helper.make_node("Mul", ["b", "i"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    inputs = [info("x", 3, 3), info("s", 3, dtype=TensorProto.STRING)]
    domains = [("", 17), ("ai.onnx.ml", 2)]
    path = save(folder / "strings.onnx", nodes, inputs, [info("y", 3, 3)], [weight("w", 3, 3)], domains=domains)
    return path, {"x": floats(3, 3), "s": np.array(["cat", "dog", "cat"], dtype=object)}


def sequences(folder: Path) -> Made:
    """A sequence that is live between two cut positions."""
    nodes = [
        helper.make_node("Tanh", ["x"], ["a"]),
        helper.make_node("SequenceConstruct", ["a", "x"], ["q"]),
        helper.make_node("Exp", ["a"], ["e"]),
        helper.make_node("ConcatFromSequence", ["q"], ["c"], axis=0),
        helper.make_node("MatMul", ["c", "e"], ["m"]),
        helper.make_node("Sqrt", ["e"], ["r"]),
        helper.make_node("Add", ["m", "r"], ["y"]),
    ]
    path = save(folder / "sequences.onnx", nodes, [info("x", 1, 1)], [info("y", 2, 1)])
    return path, {"x": floats(1, 1)}


def functions(folder: Path) -> Made:
    """A local function called twice, and weights that old files list among the inputs too."""
    block = helper.make_function(
        "local",
        "Block",
        ["i", "k"],
        ["o"],
        [helper.make_node("MatMul", ["i", "k"], ["h"]), helper.make_node("Relu", ["h"], ["o"])],
        [helper.make_opsetid("", 17)],
    )
    nodes = [
        helper.make_node("Block", ["x", "w"], ["a"], domain="local"),
        helper.make_node("Block", ["a", "w"], ["b"], domain="local"),
        helper.make_node("Sum", ["a", "b"], ["y"]),
    ]
    inputs = [info("x", 2, 16), info("w", 16, 16)]
    domains = [("", 17), ("local", 1)]
    path = save(
        folder / "functions.onnx",
        nodes,
        inputs,
        [info("y", 2, 16)],
        [weight("w", 16, 16)],
        domains=domains,
        functions=[block],
    )
    return path, {"x": floats(2, 16)}


def external(folder: Path) -> Made:
    """The same as ``skip`` with its weights in a file of their own."""
    path, feeds = skip(folder)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path, feeds


def transposed(folder: Path, channels: int = 8) -> Made:
    """Transposes that the engine moves through elementwise nodes, as models of channels-last frameworks have."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "k"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Transpose", ["c"], ["u"], perm=[0, 2, 3, 1]),
        helper.make_node("Add", ["u", "b"], ["d"]),
        helper.make_node("Sigmoid", ["d"], ["e"]),
        helper.make_node("Transpose", ["e"], ["f"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["f", "k"], ["g"], pads=[1, 1, 1, 1]),
        helper.make_node("Transpose", ["g"], ["y"], perm=[0, 2, 3, 1]),
    ]
    weights = [weight("k", channels, channels, 3, 3), weight("b", channels)]
    shape = (1, 6, 6, channels)
    path = save(folder / "transposed.onnx", nodes, [info("x", *shape)], [info("y", *shape)], weights)
    return path, {"x": floats(*shape)}


def shape_glue(folder: Path) -> Made:
    """Reshapes by computed shapes of a tensor that is needed for nothing else later."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["b"]),
        helper.make_node("Tanh", ["b"], ["c"]),
        helper.make_node("Shape", ["a"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "first"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["c", "shape"], ["d"]),
        helper.make_node("Exp", ["d"], ["y"]),
    ]
    ints = {"zero": np.array(0), "first": np.array([0]), "rest": np.array([2, 8])}
    weights = [weight("w", 16, 16), *(numpy_helper.from_array(value, name) for name, value in ints.items())]
    path = save(folder / "glue.onnx", nodes, [info("x", "n", 16)], [info("y", "n", 2, 8)], weights)
    return path, {"x": floats(3, 16)}


ALL: tuple[Callable[[Path], Made], ...] = (
    skip,
    shared_weight,
    constant_nodes,
    branches,
    loop,
    lstm,
    contrib,
    strings,
    sequences,
    functions,
    external,
    transposed,
    shape_glue,
)
