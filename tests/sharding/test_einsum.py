"""Einsum."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from mopar.sharding import SUMMAND, WHOLE, ConflictError, Piece
from tests.sharding.cases import check_piece, floats, is_cut, pieces, taken
from tests.sharding.oracle import Array, check_sum, node_model

EQUATIONS = [
    *(
        "ij,jk->ik",
        "bij,bjk->bik",
        "bhid,bhjd->bhij",
        "bhij,bhjd->bihd",
        "bhc,bkc->bhk",
        "i,j->ij",
        "ij,ij->",
        "ij->ji",
    ),
    *("bij,jk", "ij,kj->ki", "bhwc,hkc->bhwk", "abc,cd,de->abe", "ij->i", " bi d , d -> b i "),
]
EQUATION = st.sampled_from(EQUATIONS)


def operands(equation: str, sizes: dict[str, int], ones: set[tuple[int, str]] | None = None) -> dict[str, Array]:
    texts = equation.replace(" ", "").split("->")[0].split(",")
    return {
        f"x{number}": floats(*(1 if (number, label) in (ones or ()) else sizes[label] for label in text)) * (number + 1)
        for number, text in enumerate(texts)
    }


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, dict[str, Array], str, dict[str, int]]:
    """An equation, its operands, the output's labels and all sizes."""
    equation = draw(EQUATION)
    text = equation.replace(" ", "")
    left, _, right = text.partition("->")
    if "->" not in text:
        right = "".join(sorted(label for label in set(left) - {","} if left.count(label) == 1))
    sizes = {label: draw(st.integers(2, 4)) for label in sorted(set(left) - {","})}
    return equation, operands(equation, sizes), right, sizes


@given(cases(), st.data())
@settings(max_examples=60)
def test_every_label_of_the_output_splits(
    case: tuple[str, dict[str, Array], str, dict[str, int]], data: st.DataObject
) -> None:
    equation, inputs, output, sizes = case
    if not output:
        return
    model = node_model(helper.make_node("Einsum", list(inputs), ["y"], equation=equation), inputs, {})
    piece = data.draw(pieces([sizes[label] for label in output]))
    check_piece(model, inputs, {"y": piece})
    assert piece.axis is not None
    label, found = output[piece.axis], taken(model, {"y": piece})
    for name, text in zip(inputs, equation.replace(" ", "").split("->")[0].split(","), strict=True):
        assert found[name] == (piece.along(text.index(label)) if label in text else WHOLE)


@given(cases(), st.integers(1, 2))
@settings(max_examples=40)
def test_a_label_that_is_summed_over_makes_summands(
    case: tuple[str, dict[str, Array], str, dict[str, int]], parts: int
) -> None:
    equation, inputs, output, _ = case
    model = node_model(helper.make_node("Einsum", list(inputs), ["y"], equation=equation), {}, inputs)
    left = equation.replace(" ", "").split("->")[0]
    if not set(left) - {","} - set(output):
        with pytest.raises(ConflictError):
            check_sum(model, {}, parts)
        return
    check_sum(model, {}, parts)
    assert any(is_cut(piece) for piece in taken(model, {"y": SUMMAND}).values())


def test_an_operand_is_broadcast_along_an_axis_of_one() -> None:
    inputs = operands("bij,bjk->bik", {"b": 3, "i": 2, "j": 4, "k": 2}, {(1, "b")})
    model = node_model(helper.make_node("Einsum", list(inputs), ["y"], equation="bij,bjk->bik"), inputs, {})
    check_piece(model, inputs, {"y": Piece(0, ((0, 1), (2, 3)))})
    assert taken(model, {"y": Piece(0, ((0, 2),))}) == {"x0": Piece(0, ((0, 2),)), "x1": WHOLE}


@pytest.mark.parametrize("equation", ["...ij,jk->...ik", "bii->bi"])
def test_what_is_not_read_stays_whole(equation: str) -> None:
    inputs = {"x0": floats(3, 4, 4), "x1": floats(4, 4)} if "," in equation else {"x0": floats(3, 4, 4)}
    model = node_model(helper.make_node("Einsum", list(inputs), ["y"], equation=equation), inputs, {})
    check_piece(model, inputs, {"y": Piece(1, ((1, 3),))})


@pytest.mark.parametrize("place", [0, 1])
def test_a_product_passes_a_summand_on(place: int) -> None:
    names = ["p", "z"] if place == 0 else ["z", "p"]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Einsum", names, ["y"], equation="ij,ij->ij"),
    ]
    inputs = {"x": floats(3, 6), "z": floats(3, 4)}
    model = node_model(nodes, inputs, {"w": floats(6, 4)})
    check_sum(model, inputs, 3)
    assert taken(model, {"y": SUMMAND})["w"] == Piece(0, ((0, 3),))
