"""Normalizations in parts equal the unsplit ones."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from mopar.sharding import WHOLE, Piece
from tests.sharding.cases import check_piece, floats, pieces, symbolic, taken
from tests.sharding.oracle import Array, check_split, node_model

QUICK = settings(max_examples=40)
SHAPES = st.lists(st.integers(1, 6), min_size=3, max_size=4).filter(lambda shape: max(shape) > 1)


@given(st.data(), SHAPES, st.sampled_from([9, 14, 15]), st.booleans())
@QUICK
def test_batch_normalization(data: st.DataObject, shape: list[int], opset: int, unknown: bool) -> None:
    x, channels = floats(*shape), shape[1]
    weights: dict[str, Array] = dict(zip(("scale", "bias", "mean"), floats(3, channels), strict=True))
    weights["var"] = np.square(floats(channels)) + np.float32(0.5)
    node = helper.make_node("BatchNormalization", ["x", *weights], ["y"], epsilon=1e-3)
    model = node_model(node, {"x": x}, weights, opset=opset)
    model = symbolic(model, {"x": {0: "n"}}) if unknown else model
    piece = data.draw(pieces(shape))
    check_piece(model, {"x": x}, {"y": piece})
    found = taken(model, {"y": piece})
    assert found["x"] == piece
    assert all(found[name] == (piece.along(0) if piece.axis == 1 else WHOLE) for name in weights)


@given(st.data(), SHAPES)
@QUICK
def test_instance_normalization(data: st.DataObject, shape: list[int]) -> None:
    x = floats(*shape)
    weights = dict(zip(("scale", "bias"), floats(2, shape[1]), strict=True))
    model = node_model(helper.make_node("InstanceNormalization", ["x", *weights], ["y"]), {"x": x}, weights)
    piece = data.draw(pieces(shape))
    check_piece(model, {"x": x}, {"y": piece})
    found = taken(model, {"y": piece})
    assert found["x"] == piece if piece.axis in {0, 1} else found["x"].is_whole
    assert piece.axis != 1 or found["bias"] == piece.along(0)


@given(st.data(), st.integers(1, 4), st.integers(1, 3), st.sampled_from([18, 21]))
@QUICK
def test_group_normalization(data: st.DataObject, groups: int, each: int, opset: int) -> None:
    x = floats(3, groups * each, 4, 2)
    count = groups if opset == 18 else groups * each
    weights = dict(zip(("scale", "bias"), floats(2, groups * each), strict=True))
    node = helper.make_node("GroupNormalization", ["x", *weights], ["y"], num_groups=groups)
    model = node_model(node, {"x": x}, weights)
    if opset == 18:
        _by_group(model, groups)
    piece = data.draw(pieces(x.shape))
    check_piece(model, {"x": x}, {"y": piece})
    found = taken(model, {"y": piece})
    assert piece.axis != 0 or found["x"] == piece
    if piece.axis == 1:
        chosen = {channel // each for start, stop in piece.spans for channel in range(start, stop)}
        whole = len(chosen) == groups
        assert found["x"].is_whole if whole else found["x"].size == len(chosen) * each
        assert found["scale"].is_whole if whole else found["scale"].size == len(chosen) * count // groups


def _by_group(model: onnx.ModelProto, groups: int) -> None:
    """The operator in its older form, with weights per group; the checker refuses it, the engine does not."""
    next(one for one in model.opset_import if one.domain == "").version = 18
    for weight in model.graph.initializer:
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:groups], weight.name))


@given(st.data(), st.integers(1, 9), st.sampled_from([1, 3, 5]))
@QUICK
def test_local_response_normalization(data: st.DataObject, channels: int, size: int) -> None:
    x = floats(2, channels, 3, 2)
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=0.5)
    model = node_model(node, {"x": x}, {})
    piece = data.draw(pieces(x.shape))
    check_piece(model, {"x": x}, {"y": piece})
    found = taken(model, {"y": piece})["x"]
    if piece.axis == 1:
        assert found.size <= piece.hull().size + size - 1 if found.axis == 1 else found.is_whole
        assert found.axis == 1 or piece.hull().size + size - 1 >= channels
    else:
        assert found == piece


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_lp_normalization(axis: int, power: int) -> None:
    x = floats(4, 5, 3)
    model = node_model(helper.make_node("LpNormalization", ["x"], ["y"], axis=axis, p=power), {"x": x}, {})
    for other in range(3):
        check_split(model, {"x": x}, other, 2)
        piece = Piece(other, ((1, 2),))
        assert taken(model, {"y": piece})["x"].is_whole == (other == axis % 3)


@pytest.mark.parametrize(("opset", "weight"), [(18, Piece(0, ((1, 2),))), (21, Piece(0, ((3, 6),)))])
def test_a_group_takes_its_own_weights(opset: int, weight: Piece) -> None:
    x = floats(2, 12, 3)
    weights = dict(zip(("scale", "bias"), floats(2, 12), strict=True))
    model = node_model(helper.make_node("GroupNormalization", ["x", *weights], ["y"], num_groups=4), {"x": x}, weights)
    if opset == 18:
        _by_group(model, 4)
    piece = Piece(1, ((4, 5),))
    check_piece(model, {"x": x}, {"y": piece})
    assert taken(model, {"y": piece}) == {"x": Piece(1, ((3, 6),)), "scale": weight, "bias": weight}
