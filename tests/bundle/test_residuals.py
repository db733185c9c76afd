"""A slice that begins with a residual block stays in the engine's blocked layout, and gives the same values."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from mopar.bundle.residuals import read_residuals_in_blocks
from tests.sharding.cases import floats
from tests.sharding.oracle import node_model, run


def block(channels: int, *, operator: str = "Add", skip_first: bool = False) -> onnx.ModelProto:
    """A convolution of the input, added to the input, or multiplied with it, and Relu; the input's mean beside it."""
    given = ["x", "c"] if skip_first else ["c", "x"]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["x"], ["m"]),
        helper.make_node(operator, given, ["s"]),
        helper.make_node("Relu", ["s"], ["r"]),
        helper.make_node("Add", ["r", "m"], ["y"]),
    ]
    return node_model(nodes, {"x": floats(1, channels, 9, 7)}, {"w": floats(channels, channels, 3, 3)})


def rewritten(model: onnx.ModelProto) -> onnx.ModelProto:
    found = ir.from_proto(model)
    read_residuals_in_blocks(found)
    return ir.to_proto(found)


@pytest.mark.parametrize("operator", ["Add", "Mul", "Sum"])
@pytest.mark.parametrize("skip_first", [False, True])
def test_the_sum_reads_the_input_through_a_convolution(operator: str, skip_first: bool) -> None:
    model = block(16, operator=operator, skip_first=skip_first)
    inputs = {"x": np.array([-0.0, np.inf, 1e-38, *range(16 * 63 - 3)], np.float32).reshape(1, 16, 9, 7)}
    found = rewritten(model)
    assert [node.op_type for node in found.graph.node].count("Conv") == 2
    # The engine may add within the convolution then, and in another order.
    in_blocks, plain = (run(one, inputs)["y"].astype(np.float32) for one in (found, model))
    np.testing.assert_allclose(in_blocks, plain, rtol=1e-6)


def test_what_fills_no_block_or_is_not_converted_stays() -> None:
    assert rewritten(block(12)).graph.node == block(12).graph.node
    alone = block(16)
    alone.graph.node[0].input[0] = "z"  # the convolution reads another input: nobody converts x
    alone.graph.input.append(helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, (1, 16, 9, 7)))
    assert [node.op_type for node in rewritten(alone).graph.node].count("Conv") == 1
