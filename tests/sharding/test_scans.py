"""CumSum, TopK, Trilu, ConstantOfShape, and operators that read only a shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mopar.sharding import WHOLE, Piece
from tests.sharding.cases import check_piece, floats, pieces, spans, symbolic, taken
from tests.sharding.oracle import check_split, node_model

FEW = settings(max_examples=40)
SHAPES = st.lists(st.integers(2, 4), min_size=1, max_size=3)


@given(SHAPES, st.booleans(), st.booleans(), st.data())
@FEW
def test_cumulative_sum(shape: list[int], is_exclusive: bool, is_reversed: bool, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    node = helper.make_node("CumSum", ["x", "a"], ["y"], exclusive=int(is_exclusive), reverse=int(is_reversed))
    model = node_model(node, {"x": floats(*shape)}, {"a": np.array(axis)})
    piece = data.draw(pieces(shape))
    check_piece(model, {"x": floats(*shape)}, {"y": piece})
    assert taken(model, {"y": piece})["x"] == (WHOLE if piece.axis == axis % len(shape) else piece)


@given(SHAPES, st.sampled_from([9, 10, 11, 21]), st.data())
@FEW
def test_top_k(shape: list[int], opset: int, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0 if opset < 11 else -len(shape), len(shape) - 1))
    at = axis % len(shape)
    if opset < 10:
        node, weights = helper.make_node("TopK", ["x"], ["v", "i"], axis=axis, k=2), {}
    else:
        node, weights = helper.make_node("TopK", ["x", "k"], ["v", "i"], axis=axis), {"k": np.array([2])}
    outputs = {"v": TensorProto.FLOAT, "i": TensorProto.INT64}
    model = node_model(node, {"x": floats(*shape)}, weights, outputs, opset=opset)
    requested = data.draw(st.sampled_from([["v"], ["i"], ["v", "i"]]))
    after = [2 if number == at else dim for number, dim in enumerate(shape)]
    piece = data.draw(pieces(after))
    check_piece(model, {"x": floats(*shape)}, dict.fromkeys(requested, piece))
    assert taken(model, dict.fromkeys(requested, piece))["x"] == (WHOLE if piece.axis == at else piece)


@given(st.sampled_from([[4, 5], [3, 3], [2, 5, 3]]), st.sampled_from([None, -2, 0, 1, 3]), st.booleans(), st.data())
@FEW
def test_triangle(shape: list[int], diagonal: int | None, is_upper: bool, data: st.DataObject) -> None:
    inputs, weights = (["x"], {}) if diagonal is None else (["x", "k"], {"k": np.array(diagonal)})
    node = helper.make_node("Trilu", inputs, ["y"], upper=int(is_upper))
    model = node_model(node, {"x": floats(*shape)}, weights)
    piece = data.draw(pieces(shape))
    check_piece(model, {"x": floats(*shape)}, {"y": piece})
    found = taken(model, {"y": piece})["x"]
    assert found == (piece if piece.axis == len(shape) - 3 else piece.hull())
    assert found.axis is not None or piece.hull().size == shape[piece.axis or 0]


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_constant_of_a_shape_is_filled_by_each_part(parts: int) -> None:
    value = numpy_helper.from_array(np.array([2.5], np.float32))
    node = helper.make_node("ConstantOfShape", ["s"], ["y"], value=value)
    for axis in (0, 1):
        models = check_split(node_model(node, {}, {"s": np.array([4, 5])}), {}, axis, parts)
        filled = [numpy_helper.to_array(one.graph.initializer[0])[axis] for one in models]
        assert sum(filled) == [4, 5][axis]


@given(st.data())
@FEW
def test_what_needs_the_whole_shape_sees_it(data: st.DataObject) -> None:
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("ConstantOfShape", ["s"], ["y"])]
    model = symbolic(node_model(nodes, {"x": floats(3, 4)}, {}), {"x": {0: "N"}})
    piece = Piece(1, data.draw(spans(4)))
    check_piece(model, {"x": floats(3, 4)}, {"y": piece})
    assert taken(model, {"y": piece})["x"] == WHOLE
