"""Operators by element: unary, broadcast, and sums and products of summands."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mopar.sharding import SUMMAND, WHOLE, ConflictError, Part, Piece, shard_model
from mopar.sharding.rules.elementwise import _BROADCAST, _UNARY
from tests.sharding.cases import check_piece, floats, pieces, symbolic, taken
from tests.sharding.oracle import Array, check_split, check_sum, node_model, run, weight_bytes

FEW = settings(max_examples=40)
NEEDS_INTEGERS = {"BitwiseNot", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift"}
NEEDS_BOOLEANS = {"Not", "And", "Or", "Xor"}
GIVES_BOOLEANS = {"IsInf", "IsNaN", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", *NEEDS_BOOLEANS}
NOT_IN_THE_ENGINE = {"Swish"}
"""ONNX Runtime has no kernel for it in the opset that these models are made of."""


def values(operator: str, shape: Sequence[int]) -> npt.NDArray[Any]:
    """Values of the element type that an operator supports, within its domain."""
    array = floats(*shape)
    if operator in NEEDS_BOOLEANS:
        return np.asarray(array > 0)
    if operator in NEEDS_INTEGERS:
        return np.asarray(np.abs(array * 3), np.uint32 if operator == "BitShift" else np.int32)
    if operator == "Acosh":
        return np.asarray(1 + np.abs(array))
    return np.asarray(0.1 + 0.8 / (1 + np.exp(-array)), np.float32)


def kind(operator: str, value: Array) -> int:
    return TensorProto.BOOL if operator in GIVES_BOOLEANS else helper.np_dtype_to_tensor_dtype(value.dtype)


@pytest.mark.parametrize("operator", sorted({*_UNARY, "Identity", "Neg"} - NOT_IN_THE_ENGINE))
def test_unary(operator: str) -> None:
    x = values(operator, (3, 7))
    model = node_model(helper.make_node(operator, ["x"], ["y"]), {"x": x}, {}, {"y": kind(operator, x)})
    model = symbolic(model, {"x": {0: "N"}})
    check_split(model, {"x": x}, 1, 3)
    piece = Piece(1, ((0, 2), (5, 6)))
    assert taken(model, {"y": piece})["x"] == piece


@given(st.lists(st.integers(2, 4), min_size=1, max_size=3), st.booleans(), st.booleans(), st.data())
@FEW
def test_clip_with_bounds_as_inputs(shape: list[int], has_least: bool, has_most: bool, data: st.DataObject) -> None:
    bounds = {"least": np.array(-0.5, np.float32)} if has_least else {}
    bounds |= {"most": np.array(0.5, np.float32)} if has_most else {}
    names = ["least" if has_least else "", "most" if has_most else ""]
    model = node_model(helper.make_node("Clip", ["x", *names], ["y"]), {"x": floats(*shape)}, bounds)
    piece = data.draw(pieces(shape))
    check_piece(model, {"x": floats(*shape)}, {"y": piece})
    assert taken(model, {"y": piece})["x"] == piece


@st.composite
def broadcasts(draw: st.DrawFn, count: int) -> tuple[list[int], list[list[int]]]:
    """A shape, and shapes that are broadcast to it together."""
    full = draw(st.lists(st.integers(2, 4), min_size=1, max_size=3))
    shapes = [full]
    for _ in range(count - 1):
        shape = [draw(st.sampled_from([1, dim])) for dim in full]
        shapes.append(shape[draw(st.integers(0, len(shape))) :])
    return full, shapes


@given(
    st.sampled_from(
        [*(name for name in _BROADCAST if name not in {"Where", "Mod"}), "Add", "Sub", "Mul", "Div", "Sum"]
    ),
    st.booleans(),
    st.data(),
)
@settings(max_examples=150)
def test_broadcast(operator: str, is_turned: bool, data: st.DataObject) -> None:
    count = data.draw(st.integers(3, 4)) if operator in {"Sum", "Max", "Min", "Mean"} else 2
    full, shapes = data.draw(broadcasts(count))
    shapes = shapes[::-1] if is_turned and operator != "PRelu" else shapes
    check_broadcast(operator, [values(operator, shape) for shape in shapes], full, data)


@given(st.integers(0, 1), st.data())
@FEW
def test_modulo(is_like_c: int, data: st.DataObject) -> None:
    full, shapes = data.draw(broadcasts(2))
    operands = [1 + np.abs(floats(*shape)) * 5 for shape in shapes]
    if not is_like_c:
        operands = [value.astype(np.int64) for value in operands]
    check_broadcast("Mod", operands, full, data, fmod=is_like_c)


@given(st.permutations(range(3)), st.data())
@FEW
def test_where(order: list[int], data: st.DataObject) -> None:
    full, shapes = data.draw(broadcasts(3))
    condition, *others = (shapes[place] for place in order)
    check_broadcast("Where", [floats(*condition) > 0, *(floats(*shape) for shape in others)], full, data)


def check_broadcast(
    operator: str, operands: list[Array], full: list[int], data: st.DataObject, **attributes: Any
) -> None:
    """A piece reads the same elements of each operand, and all of one that is broadcast along its axis."""
    if operator == "BitShift":
        attributes["direction"] = "LEFT"
    inputs: dict[str, Array] = {f"x{number}": np.asarray(value) for number, value in enumerate(operands)}
    node = helper.make_node(operator, list(inputs), ["y"], **attributes)
    model = node_model(node, inputs, {}, {"y": kind(operator, operands[-1])})
    piece = data.draw(pieces(full))
    check_piece(model, inputs, {"y": piece})
    assert piece.axis is not None
    for name, value in inputs.items():
        axis = piece.axis - (len(full) - value.ndim)
        is_broadcast = axis < 0 or value.shape[axis] == 1
        assert taken(model, {"y": piece})[name] == (WHOLE if is_broadcast else piece.along(axis))


@pytest.mark.parametrize("to", [TensorProto.INT32, TensorProto.FLOAT16])
def test_a_cast_splits_but_does_not_add_up(to: int) -> None:
    model = node_model(helper.make_node("Cast", ["p"], ["y"], to=to), {"p": floats(3, 7) * 9}, {}, {"y": to})
    check_split(model, {"p": floats(3, 7) * 9}, 1, 3)
    assert taken(model, {"y": Piece(1, ((1, 2),))})["p"] == Piece(1, ((1, 2),))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Cast", ["p"], ["y"], to=to)]
    with pytest.raises(ConflictError):
        check_sum(node_model(nodes, {"x": floats(3, 6)}, {"w": floats(6, 4)}, {"y": to}), {"x": floats(3, 6)}, 2)


def test_cast_like_needs_no_more_than_the_type_of_its_second_input() -> None:
    inputs = {"x": floats(3, 4), "t": np.zeros(5, np.float16)}
    node = helper.make_node("CastLike", ["x", "t"], ["y"])
    check_split(node_model(node, inputs, {}, {"y": TensorProto.FLOAT16}), inputs, 1, 3)


@pytest.mark.parametrize("has_mask", [False, True])
def test_dropout_drops_nothing(has_mask: bool) -> None:
    outputs = {"y": TensorProto.FLOAT} | ({"mask": TensorProto.BOOL} if has_mask else {})
    model = node_model(helper.make_node("Dropout", ["x"], list(outputs)), {"x": floats(3, 4)}, {}, outputs)
    wanted = dict.fromkeys(outputs, Piece(1, ((1, 3),)))
    check_piece(model, {"x": floats(3, 4)}, wanted)
    assert taken(model, wanted)["x"] == Piece(1, ((1, 3),))


def product(name: str = "p", width: int = 4) -> tuple[onnx.NodeProto, dict[str, Array]]:
    """A matrix product whose parts produce summands."""
    return helper.make_node("MatMul", ["x", f"w_{name}"], [name]), {f"w_{name}": floats(6, width) * (1 + len(name))}


def model_of_products(names: Sequence[str], node: onnx.NodeProto, **weights: Array) -> onnx.ModelProto:
    """A node that reads products of the same input, and other tensors."""
    made = [product(name) for name in names]
    held = {name: value for _, weight in made for name, value in weight.items()}
    return node_model([*(one for one, _ in made), node], {"x": X}, {**held, **weights})


X = floats(3, 6)
SUMS_OF_TWO = [("Add", True), ("Sub", True), ("Sum", True), ("Mul", False), ("Div", False)]


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
@pytest.mark.parametrize(("operator", "is_sum"), SUMS_OF_TWO)
def test_summands_of_two_products(operator: str, is_sum: bool, parts: int) -> None:
    model = model_of_products(["p", "qq"], helper.make_node(operator, ["p", "qq"], ["y"]))
    check_sum(model, {"x": X}, parts)
    found = taken(model, {"y": SUMMAND})
    assert found["w_p"] == Piece(0, ((0, 3),))
    assert found["w_qq"] == (Piece(0, ((0, 3),)) if is_sum else WHOLE)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize(("operator", "names"), [("Mul", ["p", "c"]), ("Mul", ["c", "p"]), ("Div", ["p", "c"])])
@pytest.mark.parametrize("shape", [(3, 4), (4,), (1, 1), (2, 1, 1)])
def test_a_summand_times_a_factor(operator: str, names: list[str], shape: tuple[int, ...], parts: int) -> None:
    model = model_of_products(["p"], helper.make_node(operator, names, ["y"]), c=1 + np.abs(floats(*shape)))
    check_sum(model, {"x": X}, parts)
    assert taken(model, {"y": SUMMAND})["w_p"] == Piece(0, ((0, 3),))


def test_a_divisor_is_no_summand() -> None:
    model = model_of_products(["p"], helper.make_node("Div", ["c", "p"], ["y"]), c=floats(3, 4))
    with pytest.raises(ConflictError):
        check_sum(model, {"x": X}, 2)


def test_a_quotient_of_integers_is_no_summand() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Div", ["p", "c"], ["y"])]
    x = np.arange(12).reshape(3, 4)
    weights = {"w": np.arange(20).reshape(4, 5), "c": np.array(7)}
    model = node_model(nodes, {"x": x}, weights, {"y": TensorProto.INT64})
    with pytest.raises(ConflictError):
        check_sum(model, {"x": x}, 2)
    check_split(model, {"x": x}, 1, 2)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize(("operator", "names"), [("Add", ["p", "b"]), ("Add", ["b", "p"]), ("Sub", ["p", "b"])])
@pytest.mark.parametrize("shape", [(3, 4), (4,), (1, 1)])
def test_a_bias_is_added_once(operator: str, names: list[str], shape: tuple[int, ...], parts: int) -> None:
    model = model_of_products(["p"], helper.make_node(operator, names, ["y"]), b=floats(*shape))
    models = check_sum(model, {"x": X}, parts)
    assert [any(node.op_type == operator for node in one.graph.node) for one in models] == [
        index == 0 for index in range(parts)
    ]


def test_a_summand_that_is_subtracted_from_a_tensor_is_none() -> None:
    model = model_of_products(["p"], helper.make_node("Sub", ["b", "p"], ["y"]), b=floats(3, 4))
    with pytest.raises(ConflictError):
        check_sum(model, {"x": X}, 2)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("others", [["b"], ["b", "c"]])
def test_a_sum_of_several_drops_what_only_the_leading_part_adds(others: list[str], parts: int) -> None:
    node = helper.make_node("Sum", ["p", *others, "qq"], ["y"])
    model = model_of_products(["p", "qq"], node, **{name: floats(3, 4) * ord(name) for name in others})
    models = check_sum(model, {"x": X}, parts)
    counts = [len(one.graph.node[-1].input) for one in models]
    assert counts == [2 + len(others), *[2] * (parts - 1)]


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("is_skip_first", [False, True])
def test_a_residual_is_added_by_the_leading_part(is_skip_first: bool, parts: int) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "up"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "down"], ["d"]),
        helper.make_node("Add", ["x", "d"] if is_skip_first else ["d", "x"], ["y"]),
    ]
    model = node_model(nodes, {"x": X}, {"up": floats(6, 8), "down": floats(8, 6)})
    held = [weight_bytes(one) for one in check_sum(symbolic(model, {"x": {0: "N"}}), {"x": X}, parts)]
    assert sum(held) == 2 * 6 * 8 * 4


def test_what_others_read_too_is_no_summand() -> None:
    node, weight = product()
    nodes = [node, helper.make_node("Relu", ["p"], ["r"]), helper.make_node("Add", ["p", "r"], ["y"])]
    model = node_model(nodes, {"x": X}, weight)
    with pytest.raises(ConflictError):
        check_sum(model, {"x": X}, 2)
    check_split(model, {"x": X}, 1, 2)


@pytest.mark.parametrize("names", [("N", "M"), ("N", None)])
def test_a_summand_that_may_be_broadcast_is_none(names: tuple[str, str | None]) -> None:
    node, weight = product()
    inputs = {"x": floats(1, 6), "z": floats(3, 4)}
    model = node_model([node, helper.make_node("Add", ["p", "z"], ["y"])], inputs, weight)
    model = symbolic(model, {"x": {0: names[0]}, "z": {0: names[1] or ""}})
    for index in range(2):
        sharded = ir.from_proto(model)
        with pytest.raises(ConflictError):
            shard_model(sharded, {"y": SUMMAND}, Part(index, 2))
    assert run(model, inputs)["y"].shape == (3, 4)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("operator", ["Identity", "Neg", "Dropout"])
def test_a_summand_is_passed_on(operator: str, parts: int) -> None:
    model = model_of_products(["p"], helper.make_node(operator, ["p"], ["y"]))
    for one in check_sum(model, {"x": X}, parts):
        assert weight_bytes(one) == 24 * 4 // parts
