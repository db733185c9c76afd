"""Channels moved to places, and back, in parts."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from mopar.sharding import Piece
from tests.sharding.cases import check_piece, floats, pieces, symbolic, taken
from tests.sharding.oracle import check_sum, node_model, weight_bytes

QUICK = settings(max_examples=50)
SIZES = st.lists(st.integers(1, 4), min_size=4, max_size=4)


@given(st.data(), SIZES, st.integers(1, 3), st.sampled_from(["DCR", "CRD", None]), st.booleans())
@QUICK
def test_depth_to_space(data: st.DataObject, size: list[int], block: int, mode: str | None, unknown: bool) -> None:
    images, channels, height, width = size
    if max(images, channels, height * block, width * block) == 1:
        return
    x = floats(images, channels * block * block, height, width)
    attributes: dict[str, Any] = {"blocksize": block} | ({} if mode is None else {"mode": mode})
    model = node_model(helper.make_node("DepthToSpace", ["x"], ["y"], **attributes), {"x": x}, {})
    model = symbolic(model, {"x": {0: "n"}}) if unknown else model
    piece = data.draw(pieces((images, channels, height * block, width * block)))
    check_piece(model, {"x": x}, {"y": piece})
    assert _share(taken(model, {"y": piece})["x"], x.shape) <= _blocks(piece, block) / size[piece.axis or 0]


@given(st.data(), SIZES, st.integers(1, 3))
@QUICK
def test_space_to_depth(data: st.DataObject, size: list[int], block: int) -> None:
    images, channels, height, width = size
    if max(images, channels * block, height, width) == 1:
        return
    x = floats(images, channels, height * block, width * block)
    model = node_model(helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=block), {"x": x}, {})
    piece = data.draw(pieces((images, channels * block * block, height, width)))
    check_piece(model, {"x": x}, {"y": piece})
    found = taken(model, {"y": piece})["x"]
    if piece.axis == 1:
        chosen = {channel % channels for start, stop in piece.spans for channel in range(start, stop)}
        assert _share(found, x.shape) == len(chosen) / channels
    else:
        assert _share(found, x.shape) == piece.size / size[piece.axis or 0]


@pytest.mark.parametrize("operator", ["DepthToSpace", "SpaceToDepth"])
def test_moved_summands(operator: str) -> None:
    x, w = floats(2, 6, 4, 4), floats(8, 6, 1, 1)
    nodes = [helper.make_node("Conv", ["x", "w"], ["t"]), helper.make_node(operator, ["t"], ["y"], blocksize=2)]
    parts = check_sum(node_model(nodes, {"x": x}, {"w": w}), {"x": x}, 2)
    assert [weight_bytes(part) for part in parts] == [w.nbytes // 2] * 2


def _share(piece: Piece, shape: tuple[int, ...]) -> float:
    return 1.0 if piece.axis is None else piece.size / shape[piece.axis]


def _blocks(piece: Piece, block: int) -> int:
    """How many blocks of places (or images, or channels) a piece intersects."""
    if piece.axis in {0, 1}:
        return piece.size
    return len({place // block for start, stop in piece.spans for place in range(start, stop)})


def test_a_span_over_two_places_of_a_block_takes_its_own_channels() -> None:
    x = floats(1, 4, 4, 2)
    model = node_model(helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=2), {"x": x}, {})
    piece = Piece(1, ((3, 5),))
    check_piece(model, {"x": x}, {"y": piece})
    assert taken(model, {"y": piece})["x"] == Piece(1, ((0, 1), (3, 4)))
