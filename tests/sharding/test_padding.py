"""Padding in parts equals the unsplit one, and a part reads only what it pads."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from mopar.sharding import Piece
from mopar.sharding.pieces import ConflictError
from tests.sharding.cases import check_piece, floats, pieces, symbolic, taken
from tests.sharding.oracle import Array, check_sum, node_model, run, weight_bytes


@given(st.data(), st.sampled_from(["constant", "edge", "reflect", "wrap"]), st.sampled_from([7, 11, 13, 19]))
@settings(max_examples=150)
def test_any_piece_of_a_padded_tensor(data: st.DataObject, mode: str, opset: int) -> None:
    assume(mode != "wrap" or opset == 19)
    shape = data.draw(st.lists(st.integers(2, 6), min_size=1, max_size=4))
    least = -1 if mode == "constant" else 0
    axes = list(range(len(shape)))
    if opset == 19 and data.draw(st.booleans()):
        axes = data.draw(st.lists(st.sampled_from(axes), unique=True, min_size=1))
    pads = [data.draw(st.integers(least, shape[axis] - 1)) for axis in axes * 2]
    assume(all(shape[axis] + pads[i] + pads[len(axes) + i] > 0 for i, axis in enumerate(axes)))
    x = floats(*shape)
    weights: dict[str, Array] = {}
    attributes: dict[str, Any] = {"mode": mode}
    if opset == 7:
        attributes |= {"pads": pads, "value": 1.5}
        names = ["x"]
    else:
        names, weights = _pad_inputs(pads, axes, len(shape))
    model = node_model(helper.make_node("Pad", names, ["y"], **attributes), {"x": x}, weights, opset=opset)
    made = run(model, {"x": x})["y"].shape
    assume(max(made) > 1)
    piece = data.draw(pieces(made))
    check_piece(model, {"x": x}, {"y": piece})
    assert piece.axis is not None
    found = taken(model, {"y": piece})["x"]
    at = axes.index(piece.axis) if piece.axis in axes else None
    begin, end = (0, 0) if at is None else (pads[at], pads[len(axes) + at])
    if begin == end == 0:
        assert found == piece or (found.is_whole and piece.size == shape[piece.axis])
    elif mode in {"constant", "edge"}:
        assert (shape[piece.axis] if found.is_whole else found.size) <= piece.hull().size


def _pad_inputs(pads: list[int], axes: list[int], rank: int) -> tuple[list[str], dict[str, Array]]:
    """Names of the inputs, and their values."""
    weights: dict[str, Array] = {"pads": np.array(pads, np.int64), "value": np.array(1.5, np.float32)}
    if axes == list(range(rank)):
        return ["x", "pads", "value"], weights
    return ["x", "pads", "value", "axes"], weights | {"axes": np.array(axes, np.int64) - rank}


def test_the_inside_of_a_mirrored_tensor_is_taken_alone() -> None:
    x, weights = floats(1, 1, 9, 4), {"pads": np.array([0, 0, 2, 0, 0, 0, 1, 0], np.int64)}
    model = node_model(helper.make_node("Pad", ["x", "pads"], ["y"], mode="reflect"), {"x": x}, weights)
    assert taken(model, {"y": Piece(2, ((4, 6),))})["x"] == Piece(2, ((2, 4),))
    assert taken(model, {"y": Piece(2, ((0, 3),))})["x"] == Piece(2, ((0, 3),))


def test_images_whose_number_is_not_known() -> None:
    x, weights = floats(4, 2, 3, 3), {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)}
    model = symbolic(node_model(helper.make_node("Pad", ["x", "pads"], ["y"]), {"x": x}, weights), {"x": {0: "n"}})
    for axis in range(4):
        piece = Piece(axis, ((0, 1),))
        check_piece(model, {"x": x}, {"y": piece})
        assert taken(model, {"y": piece})["x"].size == 1


@pytest.mark.parametrize(("mode", "value"), [("constant", None), ("constant", 0.0), ("edge", 7.0), ("constant", 7.0)])
def test_only_zeros_and_what_is_there_pad_a_summand(mode: str, value: float | None) -> None:
    x, w, pads = floats(2, 6, 4), floats(4, 6, 1), np.array([0, 0, 1, 0, 0, 1], np.int64)
    weights: dict[str, Any] = {"w": w, "pads": pads}
    if value is not None:
        weights["value"] = np.array(value, np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["t"]),
        helper.make_node("Pad", ["t", "pads", *(["value"] if value is not None else [])], ["y"], mode=mode),
    ]
    model = node_model(nodes, {"x": x}, weights)
    if mode == "constant" and value:
        with pytest.raises(ConflictError):
            check_sum(model, {"x": x}, 2)
        return
    assert all(weight_bytes(part) < w.nbytes // 2 + 64 for part in check_sum(model, {"x": x}, 2))
