"""Gather, GatherElements, GatherND, ScatterND, ScatterElements, OneHot."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mopar.sharding import WHOLE, Piece
from mopar.sharding.pieces import merge
from tests.sharding.cases import check_piece, floats, is_cut, pieces, spans, symbolic, taken
from tests.sharding.oracle import Array, check_split, node_model, weight_bytes

FEW = settings(max_examples=40)
SHAPES = st.lists(st.integers(2, 4), min_size=1, max_size=3)


def indices(data: st.DataObject, shape: list[int], size: int) -> Array:
    """Of an axis of ``size`` elements, also counted from its end."""
    seed = data.draw(st.integers(0, 1 << 30))
    return np.random.default_rng(seed).integers(-size, size, shape)


@given(SHAPES, st.lists(st.integers(1, 4), max_size=2), st.booleans(), st.data())
@settings(max_examples=80)
def test_gather(shape: list[int], of_indices: list[int], is_constant: bool, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    after = [*shape[:axis], *of_indices, *shape[axis + 1 :]]
    assume(max(after, default=0) > 1)
    chosen = indices(data, of_indices, shape[axis])
    node = helper.make_node("Gather", ["x", "i"], ["y"], axis=axis - data.draw(st.sampled_from([0, len(shape)])))
    inputs, weights = {"x": floats(*shape), "i": chosen}, {}
    if is_constant:
        weights["i"] = inputs.pop("i")
    model = node_model(node, inputs, weights)
    piece = data.draw(pieces(after))
    check_piece(model, inputs, {"y": piece})
    assert piece.axis is not None
    found = taken(model, {"y": piece})
    if piece.axis < axis:
        assert found["x"] == piece
    elif piece.axis >= axis + len(of_indices):
        assert found["x"] == piece.along(piece.axis - len(of_indices) + 1)
    elif not is_constant:
        assert found == {"x": WHOLE, "i": piece.along(piece.axis - axis)}
    else:
        rows = np.concatenate([np.take(chosen, range(*span), piece.axis - axis) for span in piece.spans], axis=None)
        named = merge((int(row), int(row) + 1) for row in rows % shape[axis])
        assert found["x"] == (WHOLE if named == ((0, shape[axis]),) else Piece(axis, named))


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_an_embedding_table_by_columns(parts: int) -> None:
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    inputs = {"i": np.array([[3, 1, -1], [0, 2, 9]])}
    model = symbolic(node_model(node, inputs, {"table": floats(10, 7)}), {"i": {0: "N", 1: "T"}})
    held = [weight_bytes(one) for one in check_split(model, inputs, 2, parts)]
    assert sum(held) == 10 * 7 * 4


def test_rows_that_constant_indices_name_are_kept_alone() -> None:
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    model = node_model(node, {}, {"table": floats(1000, 4), "i": np.arange(900)})
    assert max(weight_bytes(one) for one in check_split(model, {}, 0, 3)) == 300 * (4 * 4 + 8)


@given(SHAPES, st.data())
@FEW
def test_gather_elements(shape: list[int], data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    after = [data.draw(st.integers(1, dim if number != axis else 5)) for number, dim in enumerate(shape)]
    assume(max(after) > 1)
    chosen = indices(data, after, shape[axis])
    node = helper.make_node(
        "GatherElements", ["x", "i"], ["y"], axis=axis - data.draw(st.sampled_from([0, len(shape)]))
    )
    model = node_model(node, {"x": floats(*shape), "i": chosen}, {})
    piece = data.draw(pieces(after))
    check_piece(model, {"x": floats(*shape), "i": chosen}, {"y": piece})
    found = taken(model, {"y": piece})
    assert found["i"] == piece
    assert is_cut(found["x"]) == (piece.axis != axis)


@given(st.integers(0, 2), st.integers(1, 2), st.integers(0, 2), st.integers(0, 1), st.data())
@settings(max_examples=60)
def test_gather_nd(batches: int, indexed: int, rest: int, more: int, data: st.DataObject) -> None:
    dims = st.integers(2, 3)
    batch, left = [data.draw(dims) for _ in range(batches)], [data.draw(dims) for _ in range(rest)]
    axes, places = [data.draw(dims) for _ in range(indexed)], [data.draw(dims) for _ in range(more)]
    after = [*batch, *places, *left]
    assume(after)
    chosen = np.stack([indices(data, [*batch, *places], size) for size in axes], axis=-1)
    node = helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=batches)
    inputs = {"x": floats(*batch, *axes, *left), "i": chosen}
    piece = data.draw(pieces(after))
    check_piece(node_model(node, inputs, {}), inputs, {"y": piece})
    found = taken(node_model(node, inputs, {}), {"y": piece})
    assert piece.axis is not None
    is_of_data = piece.axis >= batches + more
    assert is_cut(found["x"]) == (piece.axis < batches or is_of_data)
    assert is_cut(found["i"]) == (not is_of_data)


@given(st.integers(1, 2), st.integers(1, 2), st.sampled_from(["none", "add", "max"]), st.data())
@FEW
def test_scatter_nd(indexed: int, rest: int, reduction: str, data: st.DataObject) -> None:
    shape = [data.draw(st.integers(2, 4)) for _ in range(indexed + rest)]
    count = data.draw(st.integers(1, 2))
    seed = data.draw(st.integers(0, 1 << 30))
    cells = np.random.default_rng(seed).permutation(int(np.prod(shape[:indexed])))[:count]
    chosen = np.stack(np.unravel_index(cells, shape[:indexed]), axis=-1)
    node = helper.make_node("ScatterND", ["x", "i", "u"], ["y"], reduction=reduction)
    inputs = {"x": floats(*shape), "i": chosen, "u": floats(count, *shape[indexed:]) * 2}
    model = node_model(node, inputs, {})
    piece = data.draw(pieces(shape))
    check_piece(model, inputs, {"y": piece})
    assert piece.axis is not None
    is_split = piece.axis >= indexed
    assert taken(model, {"y": piece}) == {
        "x": piece if is_split else WHOLE,
        "i": WHOLE,
        "u": piece.along(piece.axis - indexed + 1) if is_split else WHOLE,
    }


@given(SHAPES, st.sampled_from(["none", "add"]), st.data())
@FEW
def test_scatter_elements(shape: list[int], reduction: str, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    short = data.draw(st.sampled_from([None, *range(len(shape))]))
    of_indices = [dim - (number == short) for number, dim in enumerate(shape)]
    line = np.argsort(np.random.default_rng(len(shape)).random(shape), axis)
    chosen = line[tuple(slice(dim) for dim in of_indices)] - shape[axis] * data.draw(st.integers(0, 1))
    node = helper.make_node("ScatterElements", ["x", "i", "u"], ["y"], axis=axis, reduction=reduction)
    inputs = {"x": floats(*shape), "i": chosen, "u": floats(*of_indices) * 2}
    model = node_model(node, inputs, {})
    piece = data.draw(pieces(shape))
    check_piece(model, inputs, {"y": piece})
    is_split = piece.axis not in {axis, short}
    assert set(taken(model, {"y": piece}).values()) == {piece if is_split else WHOLE}


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.data())
@FEW
def test_one_hot(shape: list[int], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    at = axis % (len(shape) + 1)
    node = helper.make_node("OneHot", ["i", "depth", "values"], ["y"], axis=axis)
    chosen = indices(data, shape, 4)
    weights = {"depth": np.array(4), "values": np.array([0.5, 2.0], np.float32)}
    model = node_model(node, {"i": chosen}, weights, {"y": TensorProto.FLOAT})
    after = [*shape[:at], 4, *shape[at:]]
    piece = Piece(at, data.draw(spans(4))) if data.draw(st.booleans()) else data.draw(pieces(after))
    check_piece(model, {"i": chosen}, {"y": piece})
    assert is_cut(taken(model, {"y": piece})["i"]) == (piece.axis != at)
