"""Normalisations and activations, standard and ONNX Runtime's own, along the axes that they do not reduce."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from mopar.sharding import WHOLE, Piece
from tests.sharding.cases import check_piece, floats, pieces, symbolic, taken
from tests.sharding.oracle import Array, check_split, node_model, weight_bytes

SHAPE = st.lists(st.integers(1, 5), min_size=2, max_size=4)


def check(
    operator: str, arrays: dict[str, Array], outputs: list[str], wanted: dict[str, Piece], **more: Any
) -> dict[str, Piece]:
    """Check that a node of the input ``x`` and weights gives the given pieces; return what it read."""
    opset, domain = more.pop("opset", 21), more.pop("domain", "")
    node = helper.make_node(operator, list(arrays), outputs, domain=domain, **more)
    inputs = {name: value for name, value in arrays.items() if name in {"x", "skip"}}
    weights = {name: value for name, value in arrays.items() if name and name not in inputs}
    model = node_model(node, inputs, weights, opset=opset)
    check_piece(model, inputs, wanted)
    return taken(model, wanted)


@settings(max_examples=80)
@given(st.data(), SHAPE, st.booleans(), st.booleans())
def test_layer_normalization_splits_in_front_of_what_it_normalises(
    data: st.DataObject, shape: list[int], has_bias: bool, wants_statistics: bool
) -> None:
    axis = data.draw(st.integers(1, len(shape) - 1))
    arrays = {"x": floats(*shape), "scale": floats(*shape[axis:])}
    arrays |= {"bias": floats(*shape[axis:])} if has_bias else {}
    front = [one for one in range(axis) if shape[one] > 1]
    if not front:
        return
    piece = data.draw(pieces(shape, front))
    outputs = ["y", "mean", "deviation"] if wants_statistics else ["y"]
    wanted = {name: piece for name in outputs if name != "y" or data.draw(st.booleans())} or {"y": piece}
    needs = check("LayerNormalization", arrays, outputs, wanted, axis=axis - len(shape) * data.draw(st.integers(0, 1)))
    assert needs["x"] == piece
    assert needs["scale"] == WHOLE


def test_statistics_and_values_that_are_asked_for_along_different_axes_come_from_the_whole() -> None:
    arrays = {"x": floats(3, 4, 5), "scale": floats(5)}
    wanted = {"y": Piece(0, ((0, 1),)), "mean": Piece(1, ((1, 3),))}
    assert check("LayerNormalization", arrays, ["y", "mean"], wanted)["x"] == WHOLE
    wanted = {"y": Piece(2, ((0, 1),))}
    assert check("LayerNormalization", arrays, ["y", "mean"], wanted)["x"] == WHOLE


def test_spans_of_several_outputs_are_joined() -> None:
    arrays = {"x": floats(3, 4, 5), "scale": floats(5)}
    wanted = {"y": Piece(1, ((0, 1),)), "mean": Piece(1, ((2, 3),))}
    assert check("LayerNormalization", arrays, ["y", "mean"], wanted)["x"] == Piece(1, ((0, 1), (2, 3)))


@settings(max_examples=40)
@given(st.data(), SHAPE, st.booleans())
def test_root_mean_square_normalization_splits_in_front_of_what_it_normalises(
    data: st.DataObject, shape: list[int], is_standard: bool
) -> None:
    """ONNX Runtime's own form of it has another name, in the standard domain, which ONNX does not know."""
    axis = data.draw(st.integers(1, len(shape) - 1))
    x = floats(*shape)
    front = [one for one in range(axis) if shape[one] > 1]
    if not front:
        return
    piece = data.draw(pieces(shape, front))
    node = helper.make_node("RMSNormalization", ["x", "scale"], ["y"], axis=axis)
    model = node_model(node, {"x": x}, {"scale": floats(*shape[axis:])}, opset=23)
    if not is_standard:
        model.graph.node[0].op_type = "SimplifiedLayerNormalization"
    check_piece(model, {"x": x}, {"y": piece})
    assert taken(model, {"y": piece})["x"] == piece


def test_root_mean_square_normalization_in_single_steps_splits_by_rows() -> None:
    x, scale = floats(2, 6, 8), floats(8)
    nodes = [
        helper.make_node("Pow", ["x", "two"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "axes"], ["mean"]),
        helper.make_node("Add", ["mean", "epsilon"], ["shifted"]),
        helper.make_node("Sqrt", ["shifted"], ["root"]),
        helper.make_node("Div", ["x", "root"], ["normal"]),
        helper.make_node("Mul", ["scale", "normal"], ["y"]),
    ]
    weights = {"two": np.array(2, np.float32), "axes": np.array([-1]), "epsilon": np.array(1e-5, np.float32)}
    model = symbolic(node_model(nodes, {"x": x}, weights | {"scale": scale}), {"x": {0: "batch"}})
    check_split(model, {"x": x}, 1, 4)
    assert taken(model, {"y": Piece(1, ((1, 3),))})["x"] == Piece(1, ((1, 3),))


@settings(max_examples=60)
@given(
    st.data(),
    st.sampled_from(["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"]),
    st.sampled_from([(3, 4, 5), (1, 4, 5), (4, 5), None]),
    st.booleans(),
)
def test_normalization_of_a_sum_splits_by_batch_and_rows(
    data: st.DataObject, operator: str, skip: tuple[int, ...] | None, has_bias: bool
) -> None:
    shape = (3, 4, 5) if skip else (4, 5)
    arrays = {"x": floats(*shape), "skip": floats(*(skip or shape)), "gamma": floats(5)}
    if operator == "SkipLayerNormalization":
        arrays["beta"] = floats(5)
    arrays |= {"bias": floats(5)} if has_bias else {}
    piece = data.draw(pieces(shape, range(len(shape) - 1)))
    assert piece.axis is not None
    wanted = {"y": piece, "sum": piece} if data.draw(st.booleans()) else {"sum": piece}
    needs = check(operator, arrays, ["y", "", "", "sum"], wanted, domain="com.microsoft")
    axis = piece.axis - (len(shape) - len(arrays["skip"].shape))
    assert needs["x"] == piece
    assert needs["skip"] == (piece.along(axis) if axis >= 0 and arrays["skip"].shape[axis] > 1 else WHOLE)


@settings(max_examples=40)
@given(st.data(), st.lists(st.integers(0, 3), unique=True, min_size=1, max_size=3) | st.none())
def test_mean_variance_normalization_splits_along_the_axes_that_it_leaves(
    data: st.DataObject, axes: list[int] | None
) -> None:
    x = floats(2, 3, 4, 5)
    piece = data.draw(pieces(x.shape))
    # ONNX cannot infer the default outputs of its own function in later opsets.
    attributes: dict[str, Any] = {"opset": 9} if axes is None else {"axes": axes}
    needs = check("MeanVarianceNormalization", {"x": x}, ["y"], {"y": piece}, **attributes)
    assert needs["x"] == (WHOLE if piece.axis in (axes if axes is not None else [0, 2, 3]) else piece)


@settings(max_examples=40)
@given(st.data(), SHAPE, st.sampled_from(["Gelu", "QuickGelu", "FastGelu", "FastGelu with bias", "BiasGelu"]))
def test_contributed_activations_split_along_every_axis(data: st.DataObject, shape: list[int], name: str) -> None:
    if all(size == 1 for size in shape):
        return
    has_bias = name in {"BiasGelu", "FastGelu with bias"}
    arrays = {"x": floats(*shape), **({"bias": floats(shape[-1])} if has_bias else {})}
    piece = data.draw(pieces(shape))
    needs = check(name.removesuffix(" with bias"), arrays, ["y"], {"y": piece}, domain="com.microsoft")
    assert needs["x"] == piece
    if has_bias:
        assert needs["bias"] == (piece.along(0) if piece.axis == len(shape) - 1 else WHOLE)


def test_a_scale_of_the_rows_is_cut_with_them() -> None:
    x, scale = floats(2, 4, 6), floats(4, 1)
    node = helper.make_node("LayerNormalization", ["x", "scale"], ["y"], axis=-1)
    piece = Piece(1, ((1, 3),))
    assert taken(node_model(node, {"x": x}, {"scale": scale}), {"y": piece})["scale"] == Piece(0, ((1, 3),))


def test_a_batch_of_unknown_size_leaves_the_rows() -> None:
    x = floats(2, 4, 6)
    node = helper.make_node("LayerNormalization", ["x", "scale"], ["y"])
    model = symbolic(node_model(node, {"x": x}, {"scale": floats(6)}), {"x": {0: "batch"}})
    assert all(weight_bytes(part) < 100 for part in check_split(model, {"x": x}, 1, 3))
    assert taken(model, {"y": Piece(1, ((1, 3),))})["x"] == Piece(1, ((1, 3),))
