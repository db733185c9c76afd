"""Helpers that build ONNX graphs in a few lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
Shape = Sequence[int | str]


class Builder:
    """A graph under construction. Weights come from one seeded generator, scaled so that values keep their size."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name = name
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.constants = False  # whether weights become Constant nodes
        self.opset = OPSET

    def input(self, name: str, shape: Shape, dtype: int = TensorProto.FLOAT) -> str:
        """Declare an input."""
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, shape: Shape | None, dtype: int = TensorProto.FLOAT) -> None:
        """Declare an output."""
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """A node with one output, whose name is returned."""
        made = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, inputs, [made], name=f"n{len(self.nodes)}_{operator}", **attributes)
        )
        return made

    def value(self, array: NDArray[np.generic] | np.generic) -> str:
        """A weight with these values."""
        name = f"w{len(self.weights) + len(self.nodes)}"
        tensor = numpy_helper.from_array(np.asarray(array), name)
        if self.constants:
            return self.add("Constant", output=name, value=tensor)
        self.weights.append(tensor)
        return name

    def weight(self, *shape: int) -> str:
        """A float32 weight, normal, divided by the root of its fan-in (all axes but the first)."""
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        return self.value((self.random.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32))

    def ints(self, *values: int) -> str:
        """A weight of int64 values."""
        return self.value(np.array(values, np.int64))

    def linear(self, x: str, width_in: int, width_out: int, activation: str = "Relu") -> str:
        """A fully-connected layer of (out, in) weights, and an activation."""
        y = self.add("Gemm", x, self.weight(width_out, width_in), self.weight(width_out), transB=1)
        return self.add(activation, y)

    def conv(self, x: str, channels_in: int, channels_out: int, stride: int = 1) -> str:
        """A 3x3 convolution with padding 1, and a Relu."""
        kernel, bias = self.weight(channels_out, channels_in, 3, 3), self.weight(channels_out)
        return self.add("Relu", self.add("Conv", x, kernel, bias, pads=[1, 1, 1, 1], strides=[stride, stride]))

    def graph(self) -> onnx.GraphProto:
        """The graph so far."""
        return helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)

    def model(self) -> onnx.ModelProto:
        """The checked model."""
        model = helper.make_model(self.graph(), opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        return model

    def save(self, path: Path) -> None:
        """Write the checked model."""
        onnx.save(self.model(), path)
