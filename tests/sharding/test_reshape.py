"""Reshape, Flatten, Squeeze, Unsqueeze, Transpose."""

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from mopar.sharding import SUMMAND, WHOLE, ConflictError, Piece
from mopar.sharding.rules.factors import map_back
from tests.sharding.cases import check_piece, floats, is_cut, pieces, symbolic, taken
from tests.sharding.oracle import check_split, check_sum, node_model

FEW = settings(max_examples=40)
MOST_SPANS = 32
"""For an input; a piece in more runs than this is not cut out."""


@st.composite
def two_shapes(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Shapes with equal element counts, from the same factors grouped differently, or in another order."""
    factors = draw(st.lists(st.sampled_from([2, 2, 3, 4, 5]), min_size=1, max_size=5))

    def put_together(factors: list[int]) -> list[int]:
        shape, open_axis = [], 1
        for factor in factors:
            open_axis *= factor
            if draw(st.booleans()):
                shape.append(open_axis)
                open_axis = 1
        shape += [open_axis] if open_axis > 1 else []
        for place in draw(st.lists(st.integers(0, len(shape)), max_size=2)):
            shape.insert(place, 1)
        return shape

    others = draw(st.permutations(factors)) if draw(st.booleans()) else factors
    return put_together(factors), put_together(others)


def least(before: list[int], after: list[int], piece: Piece) -> int:
    """By trying every input axis: the fewest elements along the output's axis that a part can compute."""
    assert piece.axis is not None
    cells = np.indices(before).reshape(len(before), -1)
    places = np.indices(after).reshape(len(after), -1)[piece.axis]
    best = after[piece.axis]
    for axis in range(len(before)):
        chosen = {item for start, stop in piece.spans for item in range(start, stop)}
        while True:
            read = set(cells[axis][np.isin(places, list(chosen))])
            made = set(places[np.isin(cells[axis], list(read))])
            if made == chosen:
                break
            chosen = made
        runs = 1 + sum(after - before > 1 for before, after in pairwise(sorted(read)))
        best = min(best, len(chosen)) if runs <= MOST_SPANS else best
    return best


@given(two_shapes(), st.data())
@settings(max_examples=150)
def test_a_piece_maps_to_the_least_that_some_axis_holds(
    shapes: tuple[list[int], list[int]], data: st.DataObject
) -> None:
    before, after = shapes
    piece = data.draw(pieces(after))
    found = map_back(before, after, piece)
    assert piece.axis is not None
    if found is None:
        assert least(before, after, piece) == after[piece.axis]
        return
    piece_in, made = found
    assert made.covers(piece)
    assert made.size == least(before, after, piece)
    assert piece_in.axis is not None
    assert piece_in.size * after[piece.axis] == made.size * before[piece_in.axis]
    array = np.arange(prod(before)).reshape(before)
    kept = np.concatenate([np.take(array, range(*span), piece_in.axis) for span in piece_in.spans], piece_in.axis)
    target = [made.size if axis == piece.axis else dim for axis, dim in enumerate(after)]
    whole = array.reshape(after)
    want = np.concatenate([np.take(whole, range(*span), piece.axis) for span in made.spans], piece.axis)
    np.testing.assert_array_equal(kept.reshape(target), want)


def reshape_model(before: list[int], target: list[int], **attributes: Any) -> onnx.ModelProto:
    node = helper.make_node("Reshape", ["x", "target"], ["y"], **attributes)
    return node_model(node, {"x": floats(*before)}, {"target": np.array(target, np.int64)})


@given(two_shapes(), st.data())
@FEW
def test_reshape(shapes: tuple[list[int], list[int]], data: st.DataObject) -> None:
    before, after = shapes
    target = list(after)
    if data.draw(st.booleans()):
        target[data.draw(st.integers(0, len(target) - 1))] = -1
    model = reshape_model(before, target, allowzero=data.draw(st.integers(0, 1)))
    piece = data.draw(pieces(after))
    check_piece(model, {"x": floats(*before)}, {"y": piece})
    assert is_cut(taken(model, {"y": piece})["x"]) == (map_back(before, after, piece) is not None)


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_heads_of_a_merged_axis_are_kept_whole(parts: int) -> None:
    model = reshape_model([2, 7, 3, 4], [2, 7, -1])
    check_split(model, {"x": floats(2, 7, 3, 4)}, 2, parts)
    assert taken(model, {"y": Piece(2, ((0, 6),))})["x"] == Piece(2, ((0, 2),))
    assert taken(model, {"y": Piece(2, ((5, 7), (8, 9)))})["x"] == Piece(2, ((1, 3),))


def test_heads_of_three_projections_in_one_axis() -> None:
    model = reshape_model([2, 7, 24], [2, 7, 3, 4, 2])
    assert taken(model, {"y": Piece(3, ((1, 3),))})["x"] == Piece(2, ((2, 6), (10, 14), (18, 22)))


@given(st.data())
@FEW
def test_reshape_of_a_symbolic_batch(data: st.DataObject) -> None:
    target = data.draw(st.sampled_from([[0, 0, 3, 4], [-1, 5, 3, 4], [0, 5, 3, -1], [0, -1, 6, 2]]))
    model = symbolic(reshape_model([2, 5, 12], target), {"x": {0: "N"}})
    piece = Piece(2, ((1, 2),))
    check_piece(model, {"x": floats(2, 5, 12)}, {"y": piece})
    assert is_cut(taken(model, {"y": piece})["x"])


def test_two_symbolic_axes_are_copied() -> None:
    model = symbolic(reshape_model([2, 5, 12], [0, 0, 3, 4]), {"x": {0: "N", 1: "T"}})
    proto = check_piece(model, {"x": floats(2, 5, 12)}, {"y": Piece(2, ((1, 3),))})
    assert [list(numpy_helper.to_array(item)) for item in proto.graph.initializer] == [[0, 0, 2, 4]]
    assert is_cut(taken(model, {"y": Piece(2, ((1, 3),))})["x"])


def test_a_shape_computed_at_run_time_is_not_read() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["batch1"]),
        helper.make_node("Concat", ["batch1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    weights = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([5, 3, 4])}
    model = symbolic(node_model(nodes, {"x": floats(2, 5, 12)}, weights), {"x": {0: "N"}})
    proto = check_piece(model, {"x": floats(2, 5, 12)}, {"y": Piece(2, ((1, 2),))})
    assert [node.op_type for node in proto.graph.node] == ["Reshape"]


def test_what_cannot_be_told_apart_stays_whole() -> None:
    model = symbolic(reshape_model([2, 3, 5, 4], [-1, 5, 4]), {"x": {0: "N"}})
    assert taken(model, {"y": Piece(0, ((0, 2),))})["x"] == WHOLE
    assert taken(model, {"y": Piece(1, ((0, 2),))})["x"] == Piece(2, ((0, 2),))


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.data())
@FEW
def test_flatten(shape: list[int], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape)))
    at = axis % len(shape) if axis < 0 else axis
    after = [prod(shape[:at]), prod(shape[at:])]
    assume(max(after) > 1)
    model = node_model(helper.make_node("Flatten", ["x"], ["y"], axis=axis), {"x": floats(*shape)}, {})
    piece = data.draw(pieces(after))
    check_piece(model, {"x": floats(*shape)}, {"y": piece})
    assert is_cut(taken(model, {"y": piece})["x"]) == (map_back(shape, after, piece) is not None)


def test_flatten_of_a_symbolic_batch_keeps_whole_channels() -> None:
    model = node_model(helper.make_node("Flatten", ["x"], ["y"]), {"x": floats(2, 6, 3, 3)}, {})
    found = taken(symbolic(model, {"x": {0: "N"}}), {"y": Piece(1, ((10, 20),))})
    assert found["x"] == Piece(1, ((1, 3),))


@st.composite
def with_ones(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """A shape, and some of its axes that have size 1."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    axes = sorted(draw(st.sets(st.integers(0, len(shape)), min_size=1, max_size=2)))
    for place in reversed(axes):
        shape.insert(place, 1)
    return shape, [place + index for index, place in enumerate(axes)]


@given(with_ones(), st.booleans(), st.sampled_from([11, 13, 21]), st.booleans(), st.data())
@FEW
def test_squeeze_and_unsqueeze(
    case: tuple[list[int], list[int]], is_squeeze: bool, opset: int, is_negative: bool, data: st.DataObject
) -> None:
    full, axes = case
    small = [dim for axis, dim in enumerate(full) if axis not in axes]
    before, after = (full, small) if is_squeeze else (small, full)
    assume(max(small) > 1)
    given_axes = [axis - len(full) for axis in axes] if is_negative else axes
    name = "Squeeze" if is_squeeze else "Unsqueeze"
    if opset < 13:
        node, weights = helper.make_node(name, ["x"], ["y"], axes=given_axes), {}
    else:
        node, weights = helper.make_node(name, ["x", "axes"], ["y"]), {"axes": np.array(given_axes, np.int64)}
    model = node_model(node, {"x": floats(*before)}, weights, opset=opset)
    piece = data.draw(pieces(after))
    check_piece(model, {"x": floats(*before)}, {"y": piece})
    assert is_cut(taken(model, {"y": piece})["x"])


@pytest.mark.parametrize("opset", [11, 13, 21])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_squeeze_of_all_ones_keeps_an_axis_that_becomes_one(opset: int, parts: int) -> None:
    model = node_model(helper.make_node("Squeeze", ["x"], ["y"]), {"x": floats(1, 3, 1, 2)}, {}, opset=opset)
    check_split(model, {"x": floats(1, 3, 1, 2)}, 0, parts)
    assert taken(model, {"y": Piece(0, ((1, 2),))})["x"] == Piece(1, ((1, 2),))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.booleans(), st.data())
@FEW
def test_transpose(shape: list[int], is_reversed: bool, data: st.DataObject) -> None:
    assume(max(shape) > 1)
    order = list(range(len(shape)))[::-1] if is_reversed else data.draw(st.permutations(range(len(shape))))
    attributes: dict[str, Any] = {} if is_reversed else {"perm": order}
    model = node_model(helper.make_node("Transpose", ["x"], ["y"], **attributes), {"x": floats(*shape)}, {})
    model = symbolic(model, {"x": {0: "N"}}) if data.draw(st.booleans()) else model
    piece = data.draw(pieces([shape[axis] for axis in order]))
    check_piece(model, {"x": floats(*shape)}, {"y": piece})
    assert piece.axis is not None
    assert taken(model, {"y": piece})["x"] == piece.along(order[piece.axis])


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize(
    ("node", "weights"),
    [
        (helper.make_node("Reshape", ["p", "c"], ["y"]), {"c": np.array([2, -1])}),
        (helper.make_node("Flatten", ["p"], ["y"]), {}),
        (helper.make_node("Squeeze", ["p", "c"], ["y"]), {"c": np.array([1])}),
        (helper.make_node("Unsqueeze", ["p", "c"], ["y"]), {"c": np.array([1])}),
        (helper.make_node("Transpose", ["p"], ["y"]), {}),
    ],
    ids=lambda case: case.op_type if isinstance(case, onnx.NodeProto) else "",
)
def test_a_summand_is_passed_on(node: onnx.NodeProto, weights: dict[str, np.ndarray], parts: int) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), node]
    model = node_model(nodes, {"x": floats(2, 1, 3, 6)}, {"w": floats(6, 4), **weights})
    check_sum(model, {"x": floats(2, 1, 3, 6)}, parts)
    assert taken(model, {"y": SUMMAND})["w"] == Piece(0, ((0, 3),))


def test_a_summand_of_an_input_cannot_be_had() -> None:
    with pytest.raises(ConflictError):
        check_sum(reshape_model([2, 6], [3, 4]), {"x": floats(2, 6)}, 2)
