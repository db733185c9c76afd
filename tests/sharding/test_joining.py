"""Concat, Split and Slice."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mopar.sharding import SUMMAND, WHOLE, ConflictError, Piece
from tests.sharding.cases import check_piece, floats, is_cut, pieces, spans, symbolic, taken
from tests.sharding.oracle import Array, check_split, check_sum, node_model

FEW = settings(max_examples=40)


def concat_model(shapes: list[list[int]], axis: int) -> tuple[onnx.ModelProto, dict[str, Array]]:
    inputs = {f"x{number}": floats(*shape) * (number + 1) for number, shape in enumerate(shapes)}
    return node_model(helper.make_node("Concat", list(inputs), ["y"], axis=axis), inputs, {}), inputs


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.booleans(), st.data())
@FEW
def test_concat_reads_only_what_lies_in_the_spans(sizes: list[int], is_negative: bool, data: st.DataObject) -> None:
    assume(sum(sizes) > 1)
    model, inputs = concat_model([[2, size, 3] for size in sizes], -2 if is_negative else 1)
    model = symbolic(model, {name: {0: "N"} for name in inputs}) if data.draw(st.booleans()) else model
    piece = Piece(1, data.draw(spans(sum(sizes))))
    proto = check_piece(model, inputs, {"y": piece})
    owner = np.repeat(np.arange(len(sizes)), sizes)
    read = {f"x{number}" for start, stop in piece.spans for number in owner[start:stop]}
    assert {item.name for item in proto.graph.input} == read
    assert len(read) > 1 or not any(node.op_type == "Concat" and len(node.input) < 2 for node in proto.graph.node)
    found = taken(model, {"y": piece})
    wanted = sum(stop - start for start, stop in piece.spans)
    assert sum(one.size or sizes[int(name[1:])] for name, one in found.items()) == wanted


@given(st.data())
@FEW
def test_concat_along_another_axis(data: st.DataObject) -> None:
    model, inputs = concat_model([[2, 5, 3], [2, 5, 1], [2, 5, 2]], 2)
    piece = data.draw(pieces([2, 5, 6], [0, 1]))
    check_piece(model, inputs, {"y": piece})
    assert set(taken(model, {"y": piece}).values()) == {piece}


@pytest.mark.parametrize("parts", [1, 2, 5, 9])
def test_concat_in_parts(parts: int) -> None:
    model, inputs = concat_model([[2, 4], [2, 1], [2, 4]], 1)
    models = check_split(model, inputs, 1, parts)
    assert parts < 2 or len(models[0].graph.input) < 3


def test_concat_of_the_same_tensor_twice() -> None:
    model = node_model(helper.make_node("Concat", ["x", "x"], ["y"], axis=0), {"x": floats(4)}, {})
    check_split(model, {"x": floats(4)}, 0, 3)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_summands_are_concatenated(parts: int) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("MatMul", ["x", "v"], ["q"]),
        helper.make_node("Concat", ["p", "q"], ["y"], axis=1),
    ]
    model = node_model(nodes, {"x": floats(3, 6)}, {"w": floats(6, 4), "v": floats(6, 2)})
    check_sum(model, {"x": floats(3, 6)}, parts)
    assert taken(model, {"y": SUMMAND})["w"] == Piece(0, ((0, 3),))


def test_a_concat_of_a_summand_and_an_input_is_no_summand() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Concat", ["p", "x"], ["y"], axis=1),
    ]
    model = node_model(nodes, {"x": floats(3, 6)}, {"w": floats(6, 4)})
    with pytest.raises(ConflictError):
        check_sum(model, {"x": floats(3, 6)}, 2)


def split_model(shape: list[int], sizes: list[int], axis: int, opset: int, how: str) -> onnx.ModelProto:
    names = [f"y{number}" for number in range(len(sizes))]
    weights: dict[str, Array] = {}
    if how == "attribute":
        node = helper.make_node("Split", ["x"], names, axis=axis, split=sizes)
    elif how == "input":
        node, weights = helper.make_node("Split", ["x", "s"], names, axis=axis), {"s": np.array(sizes, np.int64)}
    elif how == "number":
        node = helper.make_node("Split", ["x"], names, axis=axis, num_outputs=len(sizes))
    else:
        node = helper.make_node("Split", ["x"], names, axis=axis)
    outputs = dict.fromkeys(names, int(TensorProto.FLOAT))
    return node_model(node, {"x": floats(*shape)}, weights, outputs, opset=opset)


HOW = [(11, "attribute"), (11, "equal"), (13, "input"), (13, "equal"), (18, "number"), (21, "input"), (21, "number")]


@given(st.sampled_from(HOW), st.lists(st.integers(1, 4), min_size=1, max_size=4), st.booleans(), st.data())
@settings(max_examples=60)
def test_split_along_its_axis(how: tuple[int, str], sizes: list[int], is_negative: bool, data: st.DataObject) -> None:
    sizes = [sizes[0]] * len(sizes) if how[1] in {"equal", "number"} else sizes
    if how[1] == "number":
        sizes[-1] = data.draw(st.integers(max(1, sizes[0] - len(sizes) + 1), sizes[0]))
    model = split_model([2, sum(sizes), 3], sizes, -2 if is_negative else 1, *how)
    model = symbolic(model, {"x": {0: "N"}}) if data.draw(st.booleans()) else model
    requested = data.draw(st.sets(st.integers(0, len(sizes) - 1), min_size=1))
    wanted = {
        f"y{number}": WHOLE if data.draw(st.integers(0, 3)) == 0 else Piece(1, data.draw(spans(sizes[number])))
        for number in sorted(requested)
    }
    assume(not all(piece.is_whole for piece in wanted.values()))
    check_piece(model, {"x": floats(2, sum(sizes), 3)}, wanted)
    total = sum(piece.size or sizes[int(name[1:])] for name, piece in wanted.items())
    assert (taken(model, wanted)["x"].size or sum(sizes)) == total


@pytest.mark.parametrize("opset", [11, 13, 21])
@pytest.mark.parametrize("empty", [0, 1, 2])
def test_an_output_of_a_split_without_elements(opset: int, empty: int) -> None:
    sizes = [8 if number != empty else 0 for number in range(3)]
    model = split_model([2, 16], sizes, 1, opset, "attribute" if opset < 13 else "input")
    full, other = (number for number in range(3) if number != empty)
    for wanted in ({full: Piece(1, ((0, 4),))}, {full: Piece(1, ((3, 8),)), other: WHOLE}):
        requested = {f"y{number}": piece for number, piece in (wanted | {empty: WHOLE}).items()}
        check_piece(model, {"x": floats(2, 16)}, requested)


def test_rotary_embedding_of_whole_heads() -> None:
    """Written for partial rotation of heads, exported where all elements are rotated."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Split", ["p", "turned"], ["q", "rest"], axis=2),
        helper.make_node("Split", ["q", "halves"], ["a", "b"], axis=2),
        helper.make_node("Neg", ["b"], ["c"]),
        helper.make_node("Concat", ["c", "a"], ["y"], axis=2),
    ]
    weights = {"w": floats(5, 8), "turned": np.array([8, 0]), "halves": np.array([4, 4])}
    outputs = {"y": int(TensorProto.FLOAT), "rest": int(TensorProto.FLOAT)}
    model = node_model(nodes, {"x": floats(2, 3, 5)}, weights, outputs)
    check_piece(model, {"x": floats(2, 3, 5)}, {"y": Piece(2, ((0, 2),)), "rest": WHOLE})
    assert taken(model, {"y": Piece(2, ((0, 2),)), "rest": WHOLE})["w"] == Piece(1, ((4, 6),))


@given(st.sampled_from(HOW), st.data())
@FEW
def test_split_along_another_axis(how: tuple[int, str], data: st.DataObject) -> None:
    model = split_model([2, 6, 5], [2, 2, 2], 1, *how)
    requested = sorted(data.draw(st.sets(st.integers(0, 2), min_size=1)))
    axis = data.draw(st.sampled_from([0, 2]))
    wanted = {f"y{number}": data.draw(pieces([2, 2, 5], [axis])) for number in requested}
    check_piece(model, {"x": floats(2, 6, 5)}, wanted)
    touched = {item for piece in wanted.values() for span in piece.spans for item in range(*span)}
    assert is_cut(taken(model, wanted)["x"]) == (len(touched) < [2, 2, 5][axis])


def test_heads_of_a_fused_projection() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Split", ["p"], ["q", "k", "v"], axis=1, num_outputs=3),
        helper.make_node("Mul", ["q", "k"], ["qk"]),
        helper.make_node("Add", ["qk", "v"], ["y"]),
    ]
    model = node_model(nodes, {"x": floats(3, 5)}, {"w": floats(5, 24)})
    check_split(model, {"x": floats(3, 5)}, 1, 3)
    assert taken(model, {"y": Piece(1, ((2, 4),))})["w"] == Piece(1, ((2, 4), (10, 12), (18, 20)))


def slice_model(
    shape: list[int], cuts: dict[int, tuple[int, int, int]], opset: int, are_axes_left_out: bool = False
) -> onnx.ModelProto:
    starts, ends, steps = ([cut[part] for cut in cuts.values()] for part in range(3))
    if opset < 10:
        left_out: dict[str, Any] = {} if are_axes_left_out else {"axes": list(cuts)}
        node, weights = helper.make_node("Slice", ["x"], ["y"], starts=starts, ends=ends, **left_out), {}
    else:
        lists = {"starts": starts, "ends": ends, "axes": list(cuts), "steps": steps}
        weights = {name: np.array(items, np.int32) for name, items in lists.items()}
        names = list(lists)
        if are_axes_left_out:
            names[2] = ""
            del weights["axes"]
        if set(steps) == {1}:
            names = names[:2] if are_axes_left_out else names[:3]
            del weights["steps"]
        node = helper.make_node("Slice", ["x", *names], ["y"])
    return node_model(node, {"x": floats(*shape)}, weights, opset=opset)


@given(st.sampled_from([9, 10, 13, 21]), st.lists(st.integers(2, 6), min_size=2, max_size=3), st.booleans(), st.data())
@settings(max_examples=80)
def test_slice(opset: int, shape: list[int], are_axes_left_out: bool, data: st.DataObject) -> None:
    cuts = {}
    for axis in range(len(shape)) if are_axes_left_out else data.draw(st.permutations(range(len(shape)))):
        step = 1 if opset < 10 else data.draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        if data.draw(st.booleans()) or are_axes_left_out:
            begin = data.draw(st.integers(-shape[axis] - 1, shape[axis]))
            end = data.draw(st.sampled_from([1 << 30, 1, -1, shape[axis] - 1])) * (1 if step > 0 else -1)
            named = axis - len(shape) if opset >= 10 and not are_axes_left_out and data.draw(st.booleans()) else axis
            cuts[named] = begin, end, step
    index = [slice(None)] * len(shape)
    for axis, cut in cuts.items():
        begin = cut[0] if cut[2] > 0 or cut[0] >= -shape[axis] else -shape[axis]
        index[axis] = slice(begin, cut[1], cut[2])
    after = list(floats(*shape)[tuple(index)].shape)
    assume(cuts and min(after) > 0 and max(after) > 1)
    model = slice_model(shape, cuts, opset, are_axes_left_out)
    piece = data.draw(pieces(after))
    check_piece(model, {"x": floats(*shape)}, {"y": piece})
    found = taken(model, {"y": piece})["x"]
    assert piece.axis is not None
    step = {axis % len(shape): cut[2] for axis, cut in cuts.items()}.get(piece.axis, 1)
    assert found.axis == piece.axis
    assert found.size == (piece.size if step == 1 else (piece.hull().size - 1) * abs(step) + 1)


def test_a_slice_of_the_split_axis_alone_is_the_piece_itself() -> None:
    model = symbolic(slice_model([2, 9], {1: (3, 8, 1)}, 21), {"x": {0: "N"}})
    piece = Piece(1, ((0, 1), (2, 4)))
    assert taken(model, {"y": piece})["x"] == Piece(1, ((3, 4), (5, 7)))
    proto = check_piece(model, {"x": floats(2, 9)}, {"y": piece})
    assert "starts" not in [item.name for item in proto.graph.initializer]


def test_a_slice_whose_bounds_come_at_run_time() -> None:
    node = helper.make_node("Slice", ["x", "s", "e", "a"], ["y"])
    inputs = {"x": floats(4, 6), "s": np.array([1]), "e": np.array([3])}
    model = node_model(node, inputs, {"a": np.array([0])})
    check_split(model, inputs, 1, 4)
    assert taken(model, {"y": Piece(1, ((1, 3),))})["x"] == Piece(1, ((1, 3),))
    check_piece(model, inputs, {"y": Piece(0, ((1, 2),))})


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Slice", ["p", "s", "e", "a"], ["y"]),
        helper.make_node("Gather", ["p", "s"], ["y"]),
        helper.make_node("CumSum", ["p", "k"], ["y"]),
        helper.make_node("Trilu", ["p"], ["y"]),
    ],
    ids=lambda node: node.op_type,
)
def test_a_summand_is_passed_on(node: onnx.NodeProto) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), node]
    constants = {"s": np.array([1]), "e": np.array([3]), "a": np.array([0]), "k": np.array(0)}
    weights = {"w": floats(6, 4), **{name: constants[name] for name in node.input if name in constants}}
    model = node_model(nodes, {"x": floats(4, 6)}, weights)
    check_sum(model, {"x": floats(4, 6)}, 3)
    assert taken(model, {"y": SUMMAND})["w"] == Piece(0, ((0, 3),))
