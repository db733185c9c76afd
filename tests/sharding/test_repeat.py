"""Expand and Tile."""

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from mopar.sharding import SUMMAND, WHOLE, Piece
from tests.sharding.cases import check_piece, floats, is_cut, pieces, symbolic, taken
from tests.sharding.oracle import check_split, check_sum, node_model, weight_bytes

FEW = settings(max_examples=40)


def expand_model(before: list[int], target: list[int]) -> onnx.ModelProto:
    node = helper.make_node("Expand", ["x", "target"], ["y"])
    return node_model(node, {"x": floats(*before)}, {"target": np.array(target, np.int64)})


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
@FEW
def test_expand(after: list[int], data: st.DataObject) -> None:
    assume(max(after) > 1)
    before = [dim if data.draw(st.booleans()) else 1 for dim in after]
    cut_off = data.draw(st.integers(0, len(after) - 1))
    before = before[cut_off:] if all(dim == 1 for dim in before[:cut_off]) else before
    target = [1 if old == new and data.draw(st.booleans()) else new for old, new in zip(before, after, strict=False)]
    target = target if len(before) == len(after) else after
    model = expand_model(before, target)
    is_symbolic = len(before) == len(after) and before[0] == target[0] != 1 and data.draw(st.booleans())
    piece = data.draw(pieces(after))
    model = symbolic(model, {"x": {0: "N"}}) if is_symbolic else model
    check_piece(model, {"x": floats(*before)}, {"y": piece})
    axis = (piece.axis or 0) - (len(after) - len(before))
    if not is_symbolic:
        assert taken(model, {"y": piece})["x"] == (piece.along(axis) if axis >= 0 and before[axis] > 1 else WHOLE)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_keys_of_a_group_of_heads_are_copied_for_each_part_apart(parts: int) -> None:
    model = symbolic(expand_model([2, 3, 1, 5], [1, 3, 4, 5]), {"x": {0: "N"}})
    for axis in (1, 2):
        check_split(model, {"x": floats(2, 3, 1, 5)}, axis, parts)
    assert taken(model, {"y": Piece(1, ((0, 1),))})["x"] == Piece(1, ((0, 1),))


def test_a_shape_that_is_not_known_is_left_alone() -> None:
    nodes = [helper.make_node("Expand", ["x", "target"], ["y"])]
    model = node_model(nodes, {"x": floats(1, 4), "target": np.array([3, 4])}, {})
    check_piece(model, {"x": floats(1, 4), "target": np.array([3, 4])}, {"y": Piece(1, ((1, 3),))})


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=3), st.data())
@FEW
def test_tile(axes: list[tuple[int, int]], data: st.DataObject) -> None:
    before, repeats = [size for size, _ in axes], [times for _, times in axes]
    after = [size * times for size, times in axes]
    assume(max(after) > 1)
    node = helper.make_node("Tile", ["x", "repeats"], ["y"])
    model = node_model(node, {"x": floats(*before)}, {"repeats": np.array(repeats, np.int64)})
    piece = data.draw(pieces(after))
    check_piece(model, {"x": floats(*before)}, {"y": piece})
    assert piece.axis is not None
    if repeats[piece.axis] == 1:
        assert taken(model, {"y": piece})["x"] == piece


def test_tile_makes_whole_copies_or_a_piece_of_each() -> None:
    node = helper.make_node("Tile", ["x", "repeats"], ["y"])
    model = node_model(node, {"x": floats(4)}, {"repeats": np.array([3])})
    assert taken(model, {"y": Piece(0, ((0, 6),))})["x"] == WHOLE
    assert taken(model, {"y": Piece(0, ((1, 2), (5, 6), (9, 10)))})["x"] == Piece(0, ((1, 2),))
    tiled = node_model(node, {}, {"x": floats(400), "repeats": np.array([3])})
    assert weight_bytes(check_piece(tiled, {}, {"y": Piece(0, ((1, 9), (402, 405)))})) < 100


def test_tile_of_a_symbolic_batch() -> None:
    node = helper.make_node("Tile", ["x", "repeats"], ["y"])
    model = symbolic(node_model(node, {"x": floats(2, 6)}, {"repeats": np.array([2, 1])}), {"x": {0: "N"}})
    check_split(model, {"x": floats(2, 6)}, 1, 4)
    assert is_cut(taken(model, {"y": Piece(1, ((0, 2),))})["x"])


@pytest.mark.parametrize(("name", "constant"), [("Expand", [5, 1, 1]), ("Tile", [2, 3])])
def test_a_summand_is_passed_on(name: str, constant: list[int]) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node(name, ["p", "c"], ["y"])]
    model = node_model(nodes, {"x": floats(3, 6)}, {"w": floats(6, 4), "c": np.array(constant)})
    check_sum(model, {"x": floats(3, 6)}, 3)
    assert taken(model, {"y": SUMMAND})["w"] == Piece(0, ((0, 3),))
