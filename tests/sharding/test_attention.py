"""Attention split by heads, batch and queries: the operator, and decomposed, from hidden states to the projection."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mopar.sharding import WHOLE, Piece
from tests.sharding.cases import check_piece, floats, spans, taken
from tests.sharding.oracle import Array, check_sum, node_model, weight_bytes

OPSET, OPSET_OF_LENGTHS = 23, 24
BATCH, ROWS, KEYS, WIDTH = 2, 3, 5, 4
NAMES = ("q", "k", "v", "mask", "past_k", "past_v", "lengths")
OUTPUTS = ("y", "present_k", "present_v", "scores")


@st.composite
def attentions(
    draw: st.DrawFn, *, four: bool, causal: bool | None = None
) -> tuple[onnx.ModelProto, dict[str, Array], int, int]:
    """Heads of queries and groups of keys; masks of every rank; with and without a past."""
    groups, each = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    heads, past = groups * each, draw(st.sampled_from([0, 0, 2]))
    rows = {"q": (ROWS, heads), "k": (KEYS, groups), "v": (KEYS, groups)}
    arrays = {
        name: floats(BATCH, count, length, WIDTH) if four else floats(BATCH, length, count * WIDTH)
        for name, (length, count) in rows.items()
    }
    mask = draw(st.sampled_from([(), ("r",), ("h", "r"), ("1", "r"), ("b", "h", "r"), ("b", "1", "r")]))
    sizes = {"b": BATCH, "h": heads, "r": ROWS, "1": 1}
    if mask:
        arrays["mask"] = floats(*(sizes[letter] for letter in mask), KEYS + past)
    has_lengths = not past and draw(st.booleans())
    if has_lengths:
        arrays["lengths"] = np.array([KEYS, 2])
    if past:
        arrays |= {name: floats(BATCH, groups, past, WIDTH) for name in ("past_k", "past_v")}
    slots = [name if name in arrays else "" for name in NAMES]
    while not slots[-1]:
        slots.pop()
    attributes: dict[str, Any] = {} if four else {"q_num_heads": heads, "kv_num_heads": groups}
    is_causal = draw(st.booleans()) if causal is None else causal
    outputs = OUTPUTS if past else OUTPUTS[:1]
    node = helper.make_node("Attention", slots, outputs, is_causal=int(is_causal), **attributes)
    kinds = dict.fromkeys(outputs, TensorProto.FLOAT)
    return node_model(node, arrays, {}, kinds, opset=OPSET_OF_LENGTHS if has_lengths else OPSET), arrays, heads, groups


@settings(max_examples=100)
@given(st.data(), st.booleans())
def test_attention_splits_by_heads(data: st.DataObject, four: bool) -> None:
    model, arrays, heads, groups = data.draw(attentions(four=four))
    if heads == 1:
        return
    one, many = (1, 1) if four else (2, WIDTH)
    size = heads * many
    wanted = {"y": Piece(one, data.draw(spans(size)))}
    if "past_k" in arrays:
        wanted |= {"scores": Piece(1, data.draw(spans(heads)))} if data.draw(st.booleans()) else {}
        wanted |= {"present_v": Piece(1, data.draw(spans(groups)))} if groups > 1 and data.draw(st.booleans()) else {}
    check_piece(model, arrays, wanted)
    wanted = {"y": Piece(one, ((0, max(1, heads // groups // 2) * many),))}
    needs = taken(model, wanted)
    assert needs["q"] == wanted["y"]
    if groups > 1:
        assert needs["k"] == needs["v"] == Piece(one, ((0, many),))
    if "mask" in arrays and arrays["mask"].ndim > 2 and arrays["mask"].shape[-3] == heads:
        assert needs["mask"].axis == arrays["mask"].ndim - 3
    if "past_k" in arrays and groups > 1:
        assert needs["past_k"] == Piece(1, ((0, 1),))


@settings(max_examples=40)
@given(st.data(), st.booleans())
def test_attention_splits_by_images(data: st.DataObject, four: bool) -> None:
    model, arrays, _, _ = data.draw(attentions(four=four))
    piece = Piece(0, data.draw(spans(BATCH)))
    wanted = dict.fromkeys((output.name for output in model.graph.output), piece)
    check_piece(model, arrays, wanted)
    assert all(taken(model, wanted)[name] == piece for name in arrays if name != "mask")


@settings(max_examples=60)
@given(st.data(), st.booleans(), st.booleans())
def test_attention_splits_by_queries_where_none_looks_back(data: st.DataObject, four: bool, causal: bool) -> None:
    model, arrays, _, _ = data.draw(attentions(four=four, causal=causal))
    piece = Piece(2 if four else 1, data.draw(spans(ROWS)))
    check_piece(model, arrays, {"y": piece})
    needs = taken(model, {"y": piece})
    assert needs["q"] == (WHOLE if causal else piece)
    assert needs["k"] == WHOLE
    if not causal and "mask" in arrays and arrays["mask"].shape[-2:][0] == ROWS and arrays["mask"].ndim > 1:
        assert needs["mask"].spans == piece.spans


def test_the_width_of_a_head_is_not_split() -> None:
    arrays = {name: floats(BATCH, 2, ROWS, WIDTH) for name in ("q", "k", "v")}
    model = node_model(helper.make_node("Attention", ["q", "k", "v"], ["y"]), arrays, {}, opset=OPSET)
    check_piece(model, arrays, {"y": Piece(3, ((1, 3),))})


@st.composite
def rotaries(draw: st.DrawFn, *, four: bool) -> tuple[onnx.ModelProto, dict[str, Array], int]:
    """Position numbers, or caches for each position."""
    heads = draw(st.integers(2, 4))
    x = floats(BATCH, heads, ROWS, WIDTH) if four else floats(BATCH, ROWS, heads * WIDTH)
    arrays = {"x": x}
    if draw(st.booleans()):
        arrays |= {"cos": floats(9, WIDTH // 2), "sin": floats(9, WIDTH // 2)}
        arrays["positions"] = np.random.default_rng(0).integers(0, 9, (BATCH, ROWS))
    else:
        arrays |= {"cos": floats(BATCH, ROWS, WIDTH // 2), "sin": floats(BATCH, ROWS, WIDTH // 2)}
    attributes: dict[str, Any] = {} if four and draw(st.booleans()) else {"num_heads": heads}
    node = helper.make_node("RotaryEmbedding", list(arrays), ["y"], interleaved=draw(st.integers(0, 1)), **attributes)
    return node_model(node, arrays, {}, opset=OPSET), arrays, heads


@settings(max_examples=60)
@given(st.data(), st.booleans())
def test_rotary_embedding_splits_by_heads_images_and_rows(data: st.DataObject, four: bool) -> None:
    model, arrays, _ = data.draw(rotaries(four=four))
    head_axis, row_axis = (1, 2) if four else (2, 1)
    axis = data.draw(st.sampled_from([0, row_axis, head_axis]))
    piece = Piece(axis, data.draw(spans(arrays["x"].shape[axis])))
    check_piece(model, arrays, {"y": piece})
    if axis == head_axis:
        first_head = Piece(axis, ((0, 1 if four else WIDTH),))
        assert taken(model, {"y": first_head})["x"] == first_head
        return
    needs = taken(model, {"y": piece})
    assert needs["x"] == piece
    assert needs["positions" if "positions" in arrays else "sin"] == piece.along(0 if axis == 0 else 1)


def by_hand(heads: int, width: int, hidden: int) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Hidden states through projections, attention of single operators, the output's projection and a residual."""
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, Array] = {}
    for name in ("q", "k", "v"):
        weights |= {f"w_{name}": floats(hidden, heads * width), f"b_{name}": floats(heads * width)}
        weights[f"shape_{name}"] = np.array([0, 0, heads, width])
        nodes += [
            helper.make_node("MatMul", ["x", f"w_{name}"], [f"{name}1"]),
            helper.make_node("Add", [f"{name}1", f"b_{name}"], [f"{name}2"]),
            helper.make_node("Reshape", [f"{name}2", f"shape_{name}"], [f"{name}3"]),
            helper.make_node(
                "Transpose", [f"{name}3"], [f"{name}4"], perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
            ),
        ]
    weights |= {
        "scale": np.array(width**-0.5 / hidden, np.float32),
        "mask": floats(1, 1, 1, ROWS),
        "joined": np.array([0, 0, -1]),
    }
    weights |= {"w_o": floats(heads * width, hidden), "b_o": floats(hidden)}
    nodes += [
        helper.make_node("MatMul", ["q4", "k4"], ["s1"]),
        helper.make_node("Mul", ["s1", "scale"], ["s2"]),
        helper.make_node("Add", ["s2", "mask"], ["s3"]),
        helper.make_node("Softmax", ["s3"], ["s4"]),
        helper.make_node("MatMul", ["s4", "v4"], ["o1"]),
        helper.make_node("Transpose", ["o1"], ["o2"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["o2", "joined"], ["o3"]),
        helper.make_node("MatMul", ["o3", "w_o"], ["o4"]),
        helper.make_node("Add", ["o4", "b_o"], ["o5"]),
        helper.make_node("Add", ["x", "o5"], ["y"]),
    ]
    inputs = {"x": floats(BATCH, ROWS, hidden)}
    return node_model(nodes, inputs, weights), inputs


@pytest.mark.parametrize(("parts", "most_heads"), [(2, 2), (3, 2), (4, 1)])
def test_attention_by_hand_needs_one_sum_and_each_part_its_heads_alone(parts: int, most_heads: int) -> None:
    heads, width, hidden = 4, 8, 16
    model, inputs = by_hand(heads, width, hidden)
    models = check_sum(model, inputs, parts)
    of_a_head = 4 * (3 * (hidden + 1) * width + width * hidden)
    small = 600
    sizes = [weight_bytes(part) for part in models]
    assert max(sizes) <= most_heads * of_a_head + small
    assert sum(sizes) <= heads * of_a_head + parts * small


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_the_operator_between_projections_needs_one_sum(parts: int) -> None:
    heads, groups, width, hidden = 8, 4, 4, 16
    weights = {"w_q": floats(hidden, heads * width), "w_o": floats(heads * width, hidden)}
    weights |= {name: floats(hidden, groups * width) for name in ("w_k", "w_v")}
    nodes = [helper.make_node("MatMul", ["x", f"w_{name}"], [name]) for name in ("q", "k", "v")]
    nodes += [
        helper.make_node("Attention", ["q", "k", "v"], ["o"], q_num_heads=heads, kv_num_heads=groups, is_causal=1),
        helper.make_node("MatMul", ["o", "w_o"], ["y"]),
    ]
    inputs = {"x": floats(BATCH, ROWS, hidden)}
    models = check_sum(node_model(nodes, inputs, weights, opset=OPSET), inputs, parts)
    of_a_group = sum(weight.nbytes for weight in weights.values()) // groups
    of_a_head = of_a_group // (heads // groups)
    if groups % parts == 0:
        assert [weight_bytes(part) for part in models] == [of_a_group * groups // parts] * parts
    else:
        assert max(weight_bytes(part) for part in models) <= -(-heads // parts) * of_a_head + of_a_group
