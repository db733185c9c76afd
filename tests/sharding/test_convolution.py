"""Convolutions in parts equal the unsplit ones, and a part reads no more than its windows need."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from mopar.sharding import Piece
from mopar.sharding.pieces import ConflictError
from tests.sharding.cases import check_piece, floats, pieces, symbolic, taken
from tests.sharding.oracle import Array, check_split, check_sum, node_model, run, weight_bytes

QUICK = settings(max_examples=80)


@dataclass(frozen=True)
class Case:
    """A convolution of ``x`` with ``w`` and optionally ``b``."""

    model: onnx.ModelProto
    inputs: dict[str, Array]
    groups: int
    stride: list[int]
    reach: list[int]

    @property
    def shape(self) -> tuple[int, ...]:
        return run(self.model, self.inputs)["y"].shape


@st.composite
def convolutions(draw: st.DrawFn, transposed: bool = False) -> Case:
    """Of 1 to 3 spatial dimensions, grouped or depthwise or neither, padded in every way."""
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    each_in, each_out = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    axes = [draw(_axis(transposed)) for _ in range(rank)]
    kernel, stride, dilation, size = ([axis[key] for axis in axes] for key in ("kernel", "stride", "dilation", "size"))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    attributes: dict[str, Any] = {"group": groups, "strides": stride, "dilations": dilation}
    if transposed:
        attributes |= draw(_transposed_padding(stride, reach, size))
    else:
        attributes |= draw(_padding(reach, dilated=max(dilation) > 1))
    x = floats(draw(st.integers(1, 3)), groups * each_in, *size)
    filters = groups * each_out
    shape = (groups * each_in, each_out, *kernel) if transposed else (filters, each_in, *kernel)
    weights = {"w": floats(*shape)} | ({"b": floats(filters)} if draw(st.booleans()) else {})
    node = helper.make_node("ConvTranspose" if transposed else "Conv", ["x", *weights], ["y"], **attributes)
    return Case(node_model(node, {"x": x}, weights), {"x": x}, groups, stride, reach)


@st.composite
def _axis(draw: st.DrawFn, transposed: bool) -> dict[str, int]:
    kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    least = 1 if transposed else (kernel - 1) * dilation + 1
    size = draw(st.integers(least, least + 6))
    return {"kernel": kernel, "dilation": dilation, "stride": draw(st.integers(1, 3)), "size": size}


@st.composite
def _padding(draw: st.DrawFn, reach: list[int], *, dilated: bool) -> dict[str, Any]:
    same = [] if dilated else ["SAME_UPPER", "SAME_LOWER"]  # The engine supports no other.
    mode = draw(st.sampled_from(["NOTSET", "NOTSET", "VALID", None, *same]))
    if mode == "NOTSET":
        return {"pads": [draw(st.integers(0, min(2, one - 1))) for one in reach * 2]}
    return {} if mode is None else {"auto_pad": mode}


@st.composite
def _transposed_padding(draw: st.DrawFn, stride: list[int], reach: list[int], size: list[int]) -> dict[str, Any]:
    mode = draw(st.sampled_from(["NOTSET", "pads", "pads", "output_shape", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    extra = [draw(st.integers(0, one - 1)) for one in stride]
    stamped = [(n - 1) * s + r for n, s, r in zip(size, stride, reach, strict=True)]
    if mode == "output_shape":
        least = [max(1, n - r + 1) for n, r in zip(stamped, reach, strict=True)]
        wanted = [draw(st.integers(a, n + s - 1)) for a, n, s in zip(least, stamped, stride, strict=True)]
        return {"output_shape": wanted} | draw(st.sampled_from([{}, {"auto_pad": "SAME_UPPER"}]))
    if mode == "pads":
        most = [min(2, (n - 1) // 2) for n in stamped]
        return {"pads": [draw(st.integers(0, one)) for one in most * 2], "output_padding": extra}
    return {"auto_pad": mode} | ({"output_padding": extra} if mode == "VALID" else {})


@given(st.data(), convolutions())
@QUICK
def test_any_piece_of_a_convolution(data: st.DataObject, case: Case) -> None:
    if max(case.shape) == 1:
        return
    piece = data.draw(pieces(case.shape))
    check_piece(case.model, case.inputs, {"y": piece})
    found = taken(case.model, {"y": piece})
    assert piece.axis is not None
    if piece.axis == 0:
        assert found["x"] == piece
    elif piece.axis == 1 and case.groups == 1:
        assert found["w"] == piece.along(0)
        assert found["x"].is_whole
    elif piece.axis > 1:
        most = (piece.hull().size - 1) * case.stride[piece.axis - 2] + case.reach[piece.axis - 2]
        assert _elements(found["x"], case.inputs["x"].shape, piece.axis) <= most


@given(st.data(), convolutions(transposed=True))
@QUICK
def test_any_piece_of_a_transposed_convolution(data: st.DataObject, case: Case) -> None:
    if max(case.shape) == 1:
        return
    piece = data.draw(pieces(case.shape))
    check_piece(case.model, case.inputs, {"y": piece})
    found = taken(case.model, {"y": piece})
    assert piece.axis is not None
    if piece.axis == 0:
        assert found["x"] == piece
    elif piece.axis == 1 and case.groups == 1:
        assert found["w"] == piece
    elif piece.axis > 1:
        stride, reach = case.stride[piece.axis - 2], case.reach[piece.axis - 2]
        stamps = (piece.hull().size + max(reach, stride) - 2) // stride + 1
        size = case.inputs["x"].shape[piece.axis]
        assert _elements(found["x"], case.inputs["x"].shape, piece.axis) <= min(stamps, size)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_groups_keep_to_their_part(operator: str) -> None:
    x, w = floats(1, 12, 5, 5), floats(12, 3, 3, 3) if operator == "Conv" else floats(12, 2, 3, 3)
    bias = floats(12 if operator == "Conv" else 8)
    node = helper.make_node(operator, ["x", "w", "b"], ["y"], group=4)
    model = node_model(node, {"x": x}, {"w": w, "b": bias})
    parts = check_split(model, {"x": x}, 1, 4)
    assert [weight_bytes(part) for part in parts] == [(w.nbytes + bias.nbytes) // 4] * 4
    assert all(part.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 3 for part in parts)


def test_a_piece_of_a_group_takes_the_group() -> None:
    x, w = floats(1, 6, 4), floats(6, 2, 1)
    model = node_model(helper.make_node("Conv", ["x", "w"], ["y"], group=3), {"x": x}, {"w": w})
    piece = Piece(1, ((1, 3),))
    check_piece(model, {"x": x}, {"y": piece})
    assert taken(model, {"y": piece}) == {"x": Piece(1, ((0, 4),)), "w": Piece(0, ((0, 4),))}


@given(
    st.sampled_from(["Conv", "ConvTranspose"]), st.integers(2, 7), st.integers(1, 4), st.integers(1, 3), st.booleans()
)
@settings(max_examples=25)
def test_input_channels_add_up(operator: str, channels: int, filters: int, parts: int, biased: bool) -> None:
    parts = min(parts, channels)
    x = floats(2, channels, 5, 4)
    w = floats(filters, channels, 3, 2) if operator == "Conv" else floats(channels, filters, 3, 2)
    weights = {"w": w} | ({"b": floats(filters)} if biased else {})
    node = helper.make_node(operator, ["x", *weights], ["y"], pads=[1, 1, 0, 1], strides=[2, 1])
    models = check_sum(node_model(node, {"x": x}, weights), {"x": x}, parts)
    most = -(-channels // parts) * w[:, :1].nbytes if operator == "Conv" else -(-channels // parts) * w[:1].nbytes
    assert all(weight_bytes(model) <= most for model in models[1:])


def test_a_grouped_convolution_makes_a_summand_only_of_a_summand() -> None:
    x, w, grouped = floats(1, 4, 6), floats(6, 4, 1), floats(6, 1, 3)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["t"]),
        helper.make_node("Conv", ["t", "g", "b"], ["y"], group=6, pads=[1, 1]),
    ]
    weights = {"w": w, "g": grouped, "b": floats(6)}
    parts = check_sum(node_model(nodes, {"x": x}, weights), {"x": x}, 2)
    assert weight_bytes(parts[1]) == w.nbytes // 2 + grouped.nbytes
    alone = node_model(nodes[1], {"t": floats(1, 6, 6)}, {"g": grouped, "b": floats(6)})
    with pytest.raises(ConflictError):
        check_sum(alone, {"t": floats(1, 6, 6)}, 2)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_images_whose_number_is_not_known(axis: int) -> None:
    x, w = floats(5, 3, 7, 6), floats(4, 3, 3, 3)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    model = symbolic(node_model(node, {"x": x}, {"w": w}), {"x": {0: "n"}})
    parts = check_split(model, {"x": x}, axis, 3)
    assert axis != 1 or sum(weight_bytes(part) for part in parts) == w.nbytes
    assert taken(model, {"y": Piece(axis, ((1, 2),))})["w" if axis == 1 else "x"].axis is not None


def _elements(piece: Piece, shape: tuple[int, ...], axis: int) -> int:
    assert piece.is_whole or piece.axis == axis
    return int(np.array(shape)[axis]) if piece.is_whole else piece.size
