"""A small model for the examples: four matrix products, each followed by a ReLU, built without PyTorch."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

ROWS, WIDTHS = 256, (256, 1024, 2048, 1024, 256)


def write_model(path: Path) -> Path:
    """Write it as ONNX: ``x`` (rows, 256) to ``y`` (rows, 256), weights drawn from a fixed seed."""
    random = np.random.default_rng(0)
    nodes, weights = [], []
    for number, (taken, given) in enumerate(pairwise(WIDTHS)):
        values = (random.standard_normal((taken, given)) / np.sqrt(taken)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{number}"))
        entering, leaving = "x" if number == 0 else f"relu{number - 1}", f"relu{number}"
        nodes.append(helper.make_node("MatMul", [entering, f"w{number}"], [f"product{number}"]))
        nodes.append(helper.make_node("Relu", [f"product{number}"], [leaving]))
    nodes[-1].output[0] = "y"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [ROWS, 256]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path
