"""Pooling in parts equals the unsplit one, up to the last window that overlaps the padding."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mopar.sharding import Piece
from mopar.sharding.pieces import ConflictError
from tests.sharding.cases import check_piece, floats, pieces, symbolic, taken
from tests.sharding.oracle import check_split, check_sum, node_model, run, weight_bytes


@st.composite
def _attributes(draw: st.DrawFn, operator: str, rank: int) -> dict[str, Any]:
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    found: dict[str, Any] = {"kernel_shape": kernel, "strides": [draw(st.integers(1, 3)) for _ in range(rank)]}
    overlap = all(k >= s for k, s in zip(kernel, found["strides"], strict=True))
    same = ["SAME_UPPER", "SAME_LOWER"] if overlap else []  # Others would need negative padding in the engine.
    mode = draw(st.sampled_from(["NOTSET", "NOTSET", "VALID", *same]))
    if mode == "NOTSET":
        found["pads"] = [draw(st.integers(0, min(2, one - 1))) for one in kernel * 2]
        found["ceil_mode"] = draw(st.integers(0, 1))
        found["dilations"] = [draw(st.integers(1, 2)) for _ in range(rank)]
    else:
        found["auto_pad"] = mode
    if operator == "AveragePool":
        found["count_include_pad"] = draw(st.integers(0, 1))
    if operator == "LpPool":
        found["p"] = draw(st.integers(1, 3))
    return found


@given(st.data(), st.sampled_from(["MaxPool", "AveragePool", "LpPool"]), st.integers(1, 3))
@settings(max_examples=150)
def test_any_piece_of_a_pool(data: st.DataObject, operator: str, rank: int) -> None:
    attributes = data.draw(_attributes(operator, rank))
    opset = data.draw(st.sampled_from([19, 22])) if "dilations" in attributes else data.draw(st.sampled_from([11, 22]))
    kernel, stride = attributes["kernel_shape"], attributes["strides"]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, attributes.get("dilations", [1] * rank), strict=True)]
    size = [data.draw(st.integers(one, one + 7)) for one in reach]
    x = floats(data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)), *size)
    model = node_model(helper.make_node(operator, ["x"], ["y"], **attributes), {"x": x}, {}, opset=opset)
    shape = run(model, {"x": x})["y"].shape
    if max(shape) == 1:
        return
    piece = data.draw(pieces(shape))
    check_piece(model, {"x": x}, {"y": piece})
    found = taken(model, {"y": piece})["x"]
    assert piece.axis is not None
    if piece.axis < 2:
        assert found == piece
    else:
        most = (piece.hull().size - 1) * stride[piece.axis - 2] + reach[piece.axis - 2]
        assert found.size <= most if found.axis == piece.axis else most >= x.shape[piece.axis]


def test_indices_count_elements_of_the_whole() -> None:
    x = floats(2, 3, 6, 6)
    node = helper.make_node("MaxPool", ["x"], ["y", "at"], kernel_shape=[2, 2], strides=[2, 2])
    outputs = {"y": int(TensorProto.FLOAT), "at": int(TensorProto.INT64)}
    model = node_model(node, {"x": x}, {}, outputs)
    piece = Piece(2, ((1, 2),))
    check_piece(model, {"x": x}, {"y": piece, "at": piece})
    check_piece(model, {"x": x}, {"y": piece})
    assert taken(model, {"y": piece}) == {"x": Piece(2, ((2, 4),))}
    assert taken(model, {"at": piece})["x"].is_whole


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("axis", [0, 1])
def test_global_pools(operator: str, axis: int) -> None:
    x = floats(3, 5, 4, 3)
    model = symbolic(node_model(helper.make_node(operator, ["x"], ["y"]), {"x": x}, {}), {"x": {0: "n"}})
    check_split(model, {"x": x}, axis, 3)
    assert taken(model, {"y": Piece(axis, ((1, 2),))})["x"] == Piece(axis, ((1, 2),))


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "AveragePool"])
def test_an_average_of_a_summand_is_a_summand(operator: str) -> None:
    x, w = floats(2, 6, 5, 5), floats(4, 6, 1, 1)
    kernel: dict[str, Any] = {"kernel_shape": [2, 3]} if operator == "AveragePool" else {}
    nodes = [helper.make_node("Conv", ["x", "w"], ["t"]), helper.make_node(operator, ["t"], ["y"], **kernel)]
    parts = check_sum(node_model(nodes, {"x": x}, {"w": w}), {"x": x}, 3)
    assert [weight_bytes(part) for part in parts] == [w.nbytes // 3] * 3


def test_a_maximum_makes_no_summand() -> None:
    x, w = floats(2, 6, 5, 5), floats(4, 6, 1, 1)
    nodes = [helper.make_node("Conv", ["x", "w"], ["t"]), helper.make_node("GlobalMaxPool", ["t"], ["y"])]
    with pytest.raises(ConflictError):
        check_sum(node_model(nodes, {"x": x}, {"w": w}), {"x": x}, 3)


def test_what_lies_beyond_the_padding_is_not_counted() -> None:
    x = floats(1, 1, 6)
    node = helper.make_node(
        "AveragePool", ["x"], ["y"], kernel_shape=[3], strides=[2], ceil_mode=1, count_include_pad=1
    )
    model = node_model(node, {"x": x}, {}, opset=19)
    check_split(model, {"x": x}, 2, 3)
    assert taken(model, {"y": Piece(2, ((2, 3),))})["x"] == Piece(2, ((4, 6),))
