"""Resizing in parts equals the unsplit one, where a part's elements keep their coordinates."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from mopar.sharding import Piece
from tests.sharding.cases import check_piece, floats, pieces, symbolic, taken
from tests.sharding.oracle import Array, node_model, run

MODES = ("nearest", "linear", "cubic")
PLACES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "tf_half_pixel_for_nn")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SCALES = (0.25, 0.5, 0.75, 1.0, 1.3, 1.5, 2.0, 3.0, 4.0)


@given(
    st.data(), st.sampled_from(MODES), st.sampled_from([*PLACES, "half_pixel_symmetric"]), st.sampled_from(ROUNDINGS)
)
@settings(max_examples=200)
def test_any_piece_of_a_resized_tensor(data: st.DataObject, mode: str, places: str, rounding: str) -> None:
    opset = 19 if places == "half_pixel_symmetric" else data.draw(st.sampled_from([11, 13, 19]))
    if places == "tf_half_pixel_for_nn":
        opset, mode = 11, "nearest"
    x = floats(2, 3, data.draw(st.integers(2, 12)), data.draw(st.integers(2, 12)))
    scales = [data.draw(st.sampled_from(SCALES)) for _ in range(2)]
    attributes = {"mode": mode, "coordinate_transformation_mode": places, "nearest_mode": rounding}
    names, weights, more = data.draw(_resize_inputs(x.shape, scales, opset))
    model = node_model(helper.make_node("Resize", names, ["y"], **attributes, **more), {"x": x}, weights, opset=opset)
    piece = data.draw(pieces(run(model, {"x": x})["y"].shape))
    check_piece(model, {"x": x}, {"y": piece})
    found = taken(model, {"y": piece})["x"]
    assert piece.axis is not None
    scale = [1.0, 1.0, *scales][piece.axis]
    if scale == 1.0:
        assert found == piece
    elif scale in {2.0, 4.0, 0.5} and places not in {"align_corners", "pytorch_half_pixel"}:
        _check_taken(found, piece, x.shape[piece.axis], Fraction(scale), mode)


@st.composite
def _resize_inputs(
    draw: st.DrawFn, shape: tuple[int, ...], scales: list[float], opset: int
) -> tuple[list[str], dict[str, Array], dict[str, Any]]:
    """Inputs' names, their values, and attributes: by scales or sizes, of all axes or of some."""
    every = np.array([1.0, 1.0, *scales], np.float32)
    axes = [2, -1] if opset >= 18 and draw(st.booleans()) else [0, 1, 2, 3]
    more: dict[str, Any] = {"axes": axes} if len(axes) == 2 else {}
    roi = {} if opset >= 13 else {"roi": np.zeros(0, np.float32)}
    first = "" if opset >= 13 else "roi"
    if draw(st.booleans()):
        return ["x", first, "scales"], {**roi, "scales": every[axes]}, more
    sizes = np.maximum(np.floor(every * np.array(shape, np.float32)), 1).astype(np.int64)[axes]
    none = {} if opset >= 13 else {"scales": np.zeros(0, np.float32)}
    return ["x", first, "" if opset >= 13 else "scales", "sizes"], {**roi, **none, "sizes": sizes}, more


def _check_taken(found: Piece, piece: Piece, size: int, scale: Fraction, mode: str) -> None:
    """Check that a part reads what its hull is computed from, and at most a few elements on either side."""
    beside = {"nearest": 1, "linear": 2, "cubic": 3}[mode] * max(1, scale.denominator) * 2
    most = piece.hull().size / scale + beside + 2
    exact = size % scale.denominator == 0
    assert found.size <= most if found.axis == piece.axis else most >= size or not exact


@given(st.data(), st.sampled_from([("Upsample", 7), ("Upsample", 9), ("Resize", 10)]), st.sampled_from(MODES[:2]))
@settings(max_examples=40)
def test_resizing_of_old(data: st.DataObject, operator: tuple[str, int], mode: str) -> None:
    name, opset = operator
    x = floats(2, 3, 8, 6)
    scales = np.array([1, 1, *(data.draw(st.sampled_from([1.0, 2.0, 3.0])) for _ in range(2))], np.float32)
    if name == "Resize":
        scales[2] = data.draw(st.sampled_from([0.5, 0.75, 2.0]))
    attributes = {"scales": scales.tolist()} if opset == 7 else {}
    weights = {} if opset == 7 else {"scales": scales}
    node = helper.make_node(name, ["x", *weights], ["y"], mode=mode, **attributes)
    model = node_model(node, {"x": x}, weights, opset=opset)
    piece = data.draw(pieces(run(model, {"x": x})["y"].shape))
    check_piece(model, {"x": x}, {"y": piece})
    found = taken(model, {"y": piece})["x"]
    if scales[piece.axis or 0] == 1.0:
        assert found == piece
    elif mode == "nearest" and scales[piece.axis or 0] == 2.0:
        start, stop = piece.hull().spans[0]
        assert (x.shape[piece.axis or 0] if found.is_whole else found.size) == -(-stop // 2) - start // 2


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_images_whose_number_is_not_known(axis: int, mode: str) -> None:
    x, scales = floats(4, 3, 8, 5), np.array([1, 1, 2, 2], np.float32)
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode=mode)
    model = symbolic(node_model(node, {"x": x}, {"scales": scales}), {"x": {0: "n"}})
    piece = Piece(axis, ((1, 3),))
    check_piece(model, {"x": x}, {"y": piece})
    assert taken(model, {"y": piece})["x"].axis == axis


@pytest.mark.parametrize(("places", "scale"), [("pytorch_half_pixel", 0.5), ("half_pixel", 1.2)])
def test_parts_whose_elements_would_lie_elsewhere_take_the_whole(places: str, scale: float) -> None:
    x, scales = floats(1, 1, 4), np.array([1, 1, scale], np.float32)
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear", coordinate_transformation_mode=places)
    model = node_model(node, {"x": x}, {"scales": scales})
    piece = Piece(2, ((1, 2),))
    check_piece(model, {"x": x}, {"y": piece})
    assert taken(model, {"y": piece})["x"].is_whole
