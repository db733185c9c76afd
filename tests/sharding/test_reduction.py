"""Reductions and softmax, along the axes that are not reduced, and reductions as summands."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from mopar.sharding import SUMMAND, ConflictError, Part, Piece
from tests.sharding.cases import check_piece, floats, pieces, symbolic, taken
from tests.sharding.oracle import Array, check_split, check_sum, node_model, weight_bytes

REDUCTIONS = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")
SHAPE = st.lists(st.integers(1, 5), min_size=2, max_size=4)


@st.composite
def reductions(
    draw: st.DrawFn, operator: str, *, keepdims: bool | None = None
) -> tuple[onnx.ModelProto, Array, set[int]]:
    """A reduction of ``x``, with its axes as an attribute or an input, or left out; and the reduced axes."""
    shape = draw(SHAPE)
    x = np.abs(floats(*shape).astype(np.float32)) + np.float32(0.1)
    axes = draw(st.lists(st.integers(0, len(shape) - 1), unique=True, max_size=len(shape) - 1))
    signed = [axis - len(shape) * draw(st.integers(0, 1)) for axis in axes]
    opset = draw(st.sampled_from([11, 13, 18]))
    kept = draw(st.booleans()) if keepdims is None else keepdims
    weights: dict[str, Array] = {}
    attributes: dict[str, Any] = {"keepdims": int(kept)}
    if opset == 18 or (opset == 13 and operator == "ReduceSum"):
        noop = draw(st.booleans())
        attributes["noop_with_empty_axes"] = int(noop)
        weights = {"axes": np.array(signed, np.int64)} if draw(st.booleans()) or axes else {}
        gone = set(axes) if noop or axes else set(range(len(shape)))
    else:
        attributes |= {"axes": signed} if axes else {}
        gone = set(axes) or set(range(len(shape)))
    node = helper.make_node(operator, ["x", *weights], ["y"], **attributes)
    return node_model(node, {"x": x}, weights, opset=opset), x, gone


@settings(max_examples=120)
@given(st.data(), st.sampled_from(REDUCTIONS))
def test_reductions_split_along_the_axes_that_stay(data: st.DataObject, name: str) -> None:
    model, x, gone = data.draw(reductions(f"Reduce{name}"))
    keeps = next(one.i for one in model.graph.node[0].attribute if one.name == "keepdims")
    stay = [axis for axis in range(x.ndim) if axis not in gone]
    free = [axis for axis in stay if x.shape[axis] > 1]
    if not free:
        return
    piece = data.draw(pieces(x.shape, free))
    assert piece.axis is not None
    requested = piece if keeps else piece.along(stay.index(piece.axis))
    check_piece(model, {"x": x}, {"y": requested})
    assert taken(model, {"y": requested})["x"] == piece


@settings(max_examples=60)
@given(st.data(), st.sampled_from(["Sum", "L1", "SumSquare"]), st.integers(2, 4))
def test_sums_of_each_part_add_up(data: st.DataObject, name: str, parts: int) -> None:
    model, x, gone = data.draw(reductions(f"Reduce{name}"))
    longest = max((x.shape[axis] for axis in gone), default=0)
    if longest < parts:
        with pytest.raises(ConflictError):
            check_sum(model, {"x": x}, parts)
        return
    check_sum(model, {"x": x}, parts)
    sizes = [taken(model, {"y": SUMMAND}, Part(index, parts))["x"].size for index in range(parts)]
    assert sum(sizes) == longest


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceSum"])
def test_a_summand_of_the_input_is_one_of_its_sum_and_mean(operator: str) -> None:
    x, weight = floats(1, 1, 12), floats(12, 3)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node(operator, ["h", "axes"], ["y"], keepdims=0),
    ]
    model = node_model(nodes, {"x": x}, {"w": weight, "axes": np.array([1])})
    models = check_sum(model, {"x": x}, 3)
    assert all(weight_bytes(part) == weight.nbytes // 3 + 8 for part in models)


def test_no_other_reduction_is_a_sum() -> None:
    x = floats(4, 6)
    for name in ("Max", "L2", "LogSumExp"):
        nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node(f"Reduce{name}", ["h"], ["y"])]
        model = node_model(nodes, {"x": x}, {"w": floats(6, 6)})
        with pytest.raises(ConflictError):
            check_sum(model, {"x": x}, 2)


def test_axes_that_only_the_request_brings_leave_the_node_whole() -> None:
    x = floats(4, 6)
    node = helper.make_node("ReduceMax", ["x", "axes"], ["y"])
    model = node_model(node, {"x": x, "axes": np.array([1])}, {})
    check_split(model, {"x": x, "axes": np.array([1])}, 0, 2)


@settings(max_examples=80)
@given(st.data(), st.sampled_from(["Softmax", "LogSoftmax", "Hardmax"]), SHAPE, st.sampled_from([9, 11, 13, 21]))
def test_softmax_splits_along_axes_that_are_not_normalised(
    data: st.DataObject, operator: str, shape: list[int], opset: int
) -> None:
    x, axis = floats(*shape), data.draw(st.integers(0, len(shape) - 1))
    given_axis = axis if opset < 11 or data.draw(st.booleans()) else axis - len(shape)
    attributes: dict[str, Any] = {"axis": given_axis}
    if axis == (1 if opset < 13 else len(shape) - 1) and data.draw(st.booleans()):
        attributes = {}
    model = node_model(helper.make_node(operator, ["x"], ["y"], **attributes), {"x": x}, {}, opset=opset)
    if all(size == 1 for size in shape):
        return
    piece = data.draw(pieces(shape))
    assert piece.axis is not None
    check_piece(model, {"x": x}, {"y": piece})
    is_free = piece.axis < axis if opset < 13 else piece.axis != axis
    assert taken(model, {"y": piece})["x"] == (piece if is_free else Piece())


def test_a_batch_of_unknown_size_leaves_the_other_axes() -> None:
    x = floats(2, 6, 4)
    nodes = [helper.make_node("Softmax", ["x"], ["h"]), helper.make_node("ReduceSum", ["h", "axes"], ["y"], keepdims=0)]
    model = symbolic(node_model(nodes, {"x": x}, {"axes": np.array([2])}), {"x": {0: "batch"}})
    check_split(model, {"x": x}, 1, 4)
    assert taken(model, {"y": Piece(1, ((1, 3),))})["x"] == Piece(1, ((1, 3),))
