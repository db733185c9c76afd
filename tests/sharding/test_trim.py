"""Halos that residual branches do not need are trimmed inside the engine's blocked layout, with the same values."""

import onnx
import pytest
from onnx import helper

from tests.sharding.cases import floats
from tests.sharding.oracle import Array, check_split, node_model


def blocks(channels: int, count: int, *, kernel: int = 3) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A convolution and residual blocks: a convolution, a sum with the block's input, Relu."""
    inputs = {"x": floats(1, 3, 14, 12)}
    weights = {"w": floats(channels, 3, 3, 3)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["t0"], pads=[1] * 4)]
    for at in range(count):
        weights[f"w{at}"] = floats(channels, channels, kernel, kernel) / channels
        nodes += [
            helper.make_node("Conv", [f"t{at}", f"w{at}"], [f"c{at}"], pads=[kernel // 2] * 4),
            helper.make_node("Add", [f"c{at}", f"t{at}"], [f"s{at}"]),
            helper.make_node("Relu", [f"s{at}"], [f"t{at + 1}"]),
        ]
    return node_model(nodes, inputs, weights), inputs


def operators(models: list[onnx.ModelProto]) -> list[list[str]]:
    return [[node.op_type for node in model.graph.node] for model in models]


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("parts", [2, 3])
def test_a_residual_branch_stays_in_the_blocked_layout(axis: int, parts: int) -> None:
    model, inputs = blocks(16, 3)
    made = operators(check_split(model, inputs, axis, parts))
    assert all("Slice" not in each for each in made)
    assert all(each.count("Conv") == 4 + 3 for each in made)


@pytest.mark.parametrize(("channels", "kernel"), [(12, 3), (16, 11)])
def test_elsewhere_it_is_sliced(channels: int, kernel: int) -> None:
    """Channels that fill no block, and a halo whose selection would take as long as a convolution."""
    model, inputs = blocks(channels, 2, kernel=kernel)
    made = operators(check_split(model, inputs, 2, 2))
    assert all("Slice" in each for each in made)
