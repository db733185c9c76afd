"""Matrix products split by columns, rows, batches, and into summands."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from mopar.sharding import SUMMAND, ConflictError, Part, Piece
from tests.sharding.cases import check_piece, floats, pieces, symbolic, taken
from tests.sharding.oracle import Array, check_split, check_sum, node_model, weight_bytes

SIZE = st.integers(1, 5)


@st.composite
def products(draw: st.DrawFn) -> tuple[onnx.ModelProto, Array, Array]:
    """MatMul of an input ``a`` and a weight ``b``, of ranks 1 to 4, batches broadcast either way."""
    batches = draw(st.lists(SIZE, max_size=2))
    m, k, n = draw(SIZE), draw(st.integers(2, 7)), draw(SIZE)
    left, right = (
        [draw(st.sampled_from([1, size])) for size in batches][draw(st.integers(0, len(batches))) :] for _ in range(2)
    )
    a = floats(*left, m, k) if draw(st.booleans()) or left else floats(k)
    b = floats(*right, k, n) if draw(st.booleans()) or right else floats(k)
    return node_model(helper.make_node("MatMul", ["a", "b"], ["y"]), {"a": a}, {"b": b}), a, b


@settings(max_examples=80)
@given(products(), st.data())
def test_a_product_splits_along_every_axis(case: tuple[onnx.ModelProto, Array, Array], data: st.DataObject) -> None:
    model, a, b = case
    shape = np.matmul(a, b).shape
    if all(size == 1 for size in shape):
        return
    piece = data.draw(pieces(shape))
    check_piece(model, {"a": a}, {"y": piece})
    needs = taken(model, {"y": piece})
    assert any(needs[name].spans == piece.spans for name in ("a", "b"))


@settings(max_examples=40)
@given(products(), st.integers(2, 4))
def test_each_part_sums_over_its_share_of_the_inner_dimension(
    case: tuple[onnx.ModelProto, Array, Array], parts: int
) -> None:
    model, a, b = case
    if a.shape[-1] < parts:
        with pytest.raises(ConflictError):
            check_sum(model, {"a": a}, parts)
        return
    models = check_sum(model, {"a": a}, parts)
    assert sum(weight_bytes(part) for part in models) == b.nbytes


@settings(max_examples=80)
@given(st.data(), st.booleans(), st.booleans(), st.sampled_from(["none", "left out", "", "n", "1n", "m1", "11", "mn"]))
def test_gemm_splits_by_rows_columns_and_inner_dimension(
    data: st.DataObject, trans_a: bool, trans_b: bool, added: str
) -> None:
    m, k, n = data.draw(SIZE), data.draw(st.integers(3, 7)), data.draw(st.integers(2, 5))
    a, b = floats(*(k, m) if trans_a else (m, k)), floats(*(n, k) if trans_b else (k, n))
    weights = {"b": b}
    names = ["a", "b"]
    if added == "left out":
        names.append("")
    elif added != "none":
        weights["c"] = floats(*({"m": m, "n": n, "1": 1}[letter] for letter in added))
        names.append("c")
    node = helper.make_node("Gemm", names, ["y"], alpha=0.5, beta=2.0, transA=int(trans_a), transB=int(trans_b))
    model = node_model(node, {"a": a}, weights)
    piece = data.draw(pieces((m, n)))
    check_piece(model, {"a": a}, {"y": piece})
    needs = taken(model, {"y": piece})
    assert needs["b" if piece.axis == 1 else "a"].spans == piece.spans
    if "c" in weights and weights["c"].ndim == 2 and weights["c"].shape[piece.axis or 0] > 1:
        assert needs["c"] == piece
    models = check_sum(model, {"a": a}, 3)
    assert sum(weight_bytes(part) for part in models) == sum(weight.nbytes for weight in weights.values())


def test_a_summand_of_a_factor_is_one_of_the_product() -> None:
    x, narrow, wide, bias = floats(3, 6), floats(6, 1), floats(1, 4), floats(4)
    for last in (helper.make_node("MatMul", ["h", "v"], ["y"]), helper.make_node("Gemm", ["h", "v", "c"], ["y"])):
        weights = {"w": narrow, "v": wide, **({"c": bias} if len(last.input) == 3 else {})}
        model = node_model([helper.make_node("MatMul", ["x", "w"], ["h"]), last], {"x": x}, weights)
        check_sum(model, {"x": x}, 3)
        assert taken(model, {"y": SUMMAND}, Part(1, 3))["x"] == Piece(1, ((2, 4),))


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_two_layers_of_a_perceptron_need_one_sum(parts: int) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h1"]),
        helper.make_node("Add", ["h1", "b1"], ["h2"]),
        helper.make_node("Gelu", ["h2"], ["h3"]),
        helper.make_node("MatMul", ["h3", "w2"], ["h4"]),
        helper.make_node("Add", ["b2", "h4"], ["h5"]),
        helper.make_node("Add", ["h5", "x"], ["y"]),
    ]
    x = floats(2, 3, 8)
    weights = {"w1": floats(8, 24), "b1": floats(24), "w2": floats(24, 8), "b2": floats(8)}
    model = node_model(nodes, {"x": x}, weights)
    models = check_sum(model, {"x": x}, parts)
    shared = (weights["w1"].nbytes + weights["b1"].nbytes + weights["w2"].nbytes) // parts
    assert [weight_bytes(part) for part in models] == [shared + weights["b2"].nbytes] + [shared] * (parts - 1)


def test_a_batch_of_unknown_size_leaves_rows_columns_and_sums() -> None:
    a, b = floats(2, 4, 6), floats(6, 8)
    model = node_model(helper.make_node("MatMul", ["a", "b"], ["y"]), {"a": a}, {"b": b})
    model = symbolic(model, {"a": {0: "batch"}})
    assert all(weight_bytes(part) == b.nbytes // 2 for part in check_split(model, {"a": a}, 2, 2))
    check_split(model, {"a": a}, 1, 3)
    assert taken(model, {"y": Piece(1, ((1, 3),))})["a"] == Piece(1, ((1, 3),))
    check_sum(model, {"a": a}, 3)
