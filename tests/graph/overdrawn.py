"""Models that declare more than their files contain, or expand to more than they say. Each function writes one."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.graph import tiny

Make = Callable[[Path], Path]
_DOMAIN = "local"
_BOTH = (("", 17), (_DOMAIN, 1))
_HUGE = 1 << 31
_TURNS = 1 << 62


def _functions(folder: Path, functions: Sequence[onnx.FunctionProto], first: str = "f0") -> Path:
    nodes = [helper.make_node(first, ["x"], ["y"], domain=_DOMAIN)]
    return tiny.save(
        folder / "functions.onnx", nodes, [tiny.info("x", 2)], [tiny.info("y", 2)], domains=_BOTH, functions=functions
    )


def _function(name: str, *nodes: onnx.NodeProto) -> onnx.FunctionProto:
    opsets = [helper.make_opsetid(domain, version) for domain, version in _BOTH]
    return helper.make_function(_DOMAIN, name, ["a"], ["b"], nodes, opsets)


def _call(name: str, source: str, target: str) -> onnx.NodeProto:
    return helper.make_node(name, [source], [target], domain=_DOMAIN)


def recursive(folder: Path) -> Path:
    """A function that calls itself."""
    return _functions(folder, [_function("f0", _call("f0", "a", "b"))])


def recursive_pair(folder: Path) -> Path:
    """Two functions that call each other."""
    return _functions(folder, [_function("f0", _call("f1", "a", "b")), _function("f1", _call("f0", "a", "b"))])


def doubling(folder: Path) -> Path:
    """Functions that each call the next one twice: 2^40 nodes."""
    last = 40
    made = [_function(f"f{i}", _call(f"f{i + 1}", "a", "m"), _call(f"f{i + 1}", "m", "b")) for i in range(last)]
    return _functions(folder, [*made, _function(f"f{last}", helper.make_node("Relu", ["a"], ["b"]))])


def doubling_in_a_body(folder: Path) -> Path:
    """The same, called from a branch."""
    path = doubling(folder)
    model = onnx.load(path)
    call = model.graph.node[0]
    inner = helper.make_graph([call], "branch", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    other = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "other", [], [helper.make_tensor_value_info("y", 1, None)]
    )
    model.graph.ClearField("node")
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "c"))
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=other))
    onnx.save(model, path)
    return path


def many_calls(folder: Path) -> Path:
    """A thousand calls of a function of ten thousand nodes."""
    chain = [
        helper.make_node("Relu", [f"t{i}" if i else "a"], [f"t{i + 1}" if i < 9999 else "b"]) for i in range(10000)
    ]
    calls = [_call("big", f"u{i}" if i else "a", f"u{i + 1}" if i < 999 else "b") for i in range(1000)]
    return _functions(folder, [_function("f0", *calls), _function("big", *chain)])


def negative_dim(folder: Path) -> Path:
    """An input of -3 elements."""
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    return tiny.save(folder / "negative.onnx", nodes, [tiny.info("x", -3)], [tiny.info("y", -3)])


def huge_dim(folder: Path) -> Path:
    """An input of 2^63 - 1 elements, twice."""
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    most = (1 << 63) - 1
    return tiny.save(folder / "huge.onnx", nodes, [tiny.info("x", most, most)], [tiny.info("y", most, most)])


def large_input(folder: Path) -> Path:
    """An input of 32 GB."""
    nodes = [helper.make_node("ReduceMax", ["x"], ["y"], keepdims=0)]
    return tiny.save(folder / "large.onnx", nodes, [tiny.info("x", 1 << 33)], [tiny.info("y")])


def no_nodes(folder: Path) -> Path:
    """The input is the output."""
    return tiny.save(folder / "none.onnx", [], [tiny.info("x", 2)], [tiny.info("x", 2)])


def _weight(folder: Path, tensor: onnx.TensorProto) -> Path:
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    return tiny.save(folder / "weight.onnx", nodes, [tiny.info("x", 1)], [tiny.info("y", "n")], [tensor])


def weight_without_data(folder: Path) -> Path:
    """A weight of 2^31 elements and no data."""
    return _weight(folder, onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[_HUGE]))


def weight_with_little_data(folder: Path) -> Path:
    """A weight of 2^31 elements and four bytes."""
    return _weight(folder, onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[_HUGE], raw_data=bytes(4)))


def weight_of_negative_size(folder: Path) -> Path:
    """A weight of -2^31 elements."""
    return _weight(folder, onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-_HUGE], raw_data=bytes(4)))


def weight_that_overflows(folder: Path) -> Path:
    """A weight whose bytes are 0 in 64 bits."""
    dims = [1 << 32, 1 << 32]
    return _weight(folder, onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=b""))


def external_hole(folder: Path) -> Path:
    """A weight of 64 GiB in a sparse file."""
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 34], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="hole.bin")
    with (folder / "hole.bin").open("wb") as file:
        file.truncate(1 << 36)
    return _weight(folder, tensor)


def sparse_weight(folder: Path) -> Path:
    """A sparse weight of 2^40 elements, one of which is there."""
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "w_indices")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    path = tiny.save(folder / "sparse.onnx", nodes, [tiny.info("x", 1)], [tiny.info("y", "n")])
    model = onnx.load(path)
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1 << 40]))
    onnx.save(model, path)
    return path


def _folded(folder: Path, nodes: Sequence[onnx.NodeProto], weights: Sequence[onnx.TensorProto]) -> Path:
    """Nodes that compute ``k`` from constants alone, which another node reads."""
    nodes = [*nodes, helper.make_node("Add", ["x", "k"], ["y"])]
    return tiny.save(folder / "folded.onnx", nodes, [tiny.info("x", 1)], [tiny.info("y", "n")], weights)


def _ints(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def endless_loop(folder: Path) -> Path:
    """A Loop of 2^62 iterations over constants."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Add", ["s", "s"], ["t"])],
        "body",
        [tiny.info("i", dtype=TensorProto.INT64), tiny.info("c", dtype=TensorProto.BOOL), tiny.info("s", 1)],
        [tiny.info("d", dtype=TensorProto.BOOL), tiny.info("t", 1)],
    )
    weights = [
        numpy_helper.from_array(np.array(_TURNS, np.int64), "n"),
        numpy_helper.from_array(np.array(True), "c0"),
        numpy_helper.from_array(np.zeros(1, np.float32), "s0"),
    ]
    return _folded(folder, [helper.make_node("Loop", ["n", "c0", "s0"], ["k"], body=body)], weights)


def large_between(folder: Path) -> Path:
    """A small constant computed through one of 2^40 elements."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        helper.make_node("ReduceMax", ["large"], ["k"], keepdims=0),
    ]
    return _folded(folder, nodes, [_ints("shape", 1 << 40)])


def large_hidden_between(folder: Path) -> Path:
    """The same in a branch, where the graph itself has no node."""
    inner = [
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        helper.make_node("ReduceMax", ["large"], ["m"], keepdims=0),
    ]
    branch = helper.make_graph(inner, "branch", [], [helper.make_tensor_value_info("m", TensorProto.FLOAT, None)])
    other = helper.make_graph([helper.make_node("Constant", [], ["m"], value_float=1.0)], "other", [], [tiny.info("m")])
    nodes = [helper.make_node("If", ["c"], ["k"], then_branch=branch, else_branch=other)]
    return _folded(folder, nodes, [_ints("shape", 1 << 40), numpy_helper.from_array(np.array(True), "c")])


def many_turns_in_a_kernel(folder: Path) -> Path:
    """Convolutions of constants, with few bytes each, that take an hour."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((1, 64, 64, 64)).astype(np.float32), "c0"),
        numpy_helper.from_array(rng.standard_normal((64, 64, 33, 33)).astype(np.float32), "w"),
    ]
    nodes = [
        helper.make_node("Conv", [f"c{i}", "w"], [f"c{i + 1}"], pads=[16, 16, 16, 16], name=f"n{i}") for i in range(200)
    ]
    return _folded(folder, [*nodes, helper.make_node("ReduceMax", ["c200"], ["k"], keepdims=0)], weights)


def many_ranges(folder: Path) -> Path:
    """A thousand constants of 1 MiB each, computed from tiny inputs."""
    weights = [_ints("shape", 1 << 18), numpy_helper.from_array(np.zeros(1, np.float32), "z")]
    nodes = [helper.make_node("ConstantOfShape", ["shape"], [f"c{i}"], name=f"n{i}") for i in range(4000)]
    sums = [helper.make_node("Add", ["x", "c0"], ["s0"])]
    sums += [helper.make_node("Add", [f"s{i}", f"c{i + 1}"], [f"s{i + 1}"]) for i in range(3999)]
    nodes += sums
    return _folded(folder, [*nodes, helper.make_node("Identity", ["z"], ["k"])], weights)


def deep_bodies(folder: Path) -> Path:
    """Branches in branches, more than Python has frames for, and than protobuf parses by default."""
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [value])
    for _ in range(30):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [value]) if graph.ByteSize() < 1 << 20 else graph
    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)]
    condition = tiny.info("c", dtype=TensorProto.BOOL)
    return tiny.save(folder / "deep.onnx", nodes, [tiny.info("x", 2), condition], [tiny.info("y", 2)])


def deeper_bodies(folder: Path) -> Path:
    """Bodies in bodies, thousands deep, written byte by byte."""
    inner = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g", [], [tiny.info("y", 2)]
    ).SerializeToString()
    for _ in range(3000):
        attribute = _field(1, b"then_branch") + _field(6, inner) + b"\xa0\x01\x05"
        node = _field(1, b"c") + _field(2, b"y") + _field(4, b"If") + _field(5, attribute)
        inner = _field(1, node) + _field(2, b"g")
    opset = _field(8, _field(1, b"") + b"\x10\x11")
    path = folder / "deeper.onnx"
    path.write_bytes(b"\x08\x09" + _field(7, inner + _field(12, tiny.info("y", 2).SerializeToString())) + opset)
    return path


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes in protobuf's wire format."""
    size, length = len(data), b""
    while size >= 128:
        length += bytes([size % 128 + 128])
        size //= 128
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


ALL: tuple[Make, ...] = (
    recursive,
    recursive_pair,
    doubling,
    doubling_in_a_body,
    many_calls,
    negative_dim,
    huge_dim,
    large_input,
    no_nodes,
    weight_without_data,
    weight_with_little_data,
    weight_of_negative_size,
    weight_that_overflows,
    external_hole,
    sparse_weight,
    endless_loop,
    large_between,
    large_hidden_between,
    many_turns_in_a_kernel,
    many_ranges,
    deep_bodies,
    deeper_bodies,
)
