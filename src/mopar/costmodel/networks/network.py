"""Networks that are written at run time, without torch: what calibration measures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_OPSET = 20
_EXTERNAL_BYTES = 1024


class Network:
    """A graph in the making, whose tensors' shapes are known as it grows.

    Weights are normal, divided by the root of their fan-in, so that activations keep their size: numbers that are
    nearly 0 (denormals) would slow arithmetic down.

    Args:
        name: of the graph.
        random: draws weights and sizes.
    """

    def __init__(self, name: str, random: np.random.Generator) -> None:
        self.name, self.random = name, random
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def input(self, name: str, shape: Sequence[int], dtype: int = TensorProto.FLOAT) -> str:
        """Declare an input."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        self.shapes[name] = tuple(shape)
        return name

    def add(self, operator: str, *inputs: str, shape: Sequence[int], **attributes: object) -> str:
        """A node with one output of that shape, whose name is returned."""
        return self.add_many(operator, *inputs, shapes=[shape], **attributes)[0]

    def add_many(self, operator: str, *inputs: str, shapes: Sequence[Sequence[int]], **attributes: object) -> list[str]:
        """A node with several outputs."""
        number = len(self._nodes)
        made = [f"{operator.lower()}_{number}_{k}" for k in range(len(shapes))]
        node = helper.make_node(operator, inputs, made, name=f"n{number}_{operator}")
        node.attribute.extend(helper.make_attribute(key, value) for key, value in sorted(attributes.items()))
        self._nodes.append(node)
        self.shapes.update((name, tuple(shape)) for name, shape in zip(made, shapes, strict=True))
        return made

    def value(self, array: NDArray[np.generic]) -> str:
        """A stored constant."""
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(array, name))
        self.shapes[name] = array.shape
        return name

    def weight(self, *shape: int, fan_in: int) -> str:
        """A float32 weight."""
        # Repeating a block of random numbers is as good for timing, and much quicker to make.
        count = int(np.prod(shape))
        block = self.random.standard_normal(min(count, 1 << 16)).astype(np.float32) / np.float32(np.sqrt(fan_in))
        return self.value(np.resize(block, shape))

    def ints(self, *values: int) -> str:
        """A stored list of integers."""
        return self.value(np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        """A stored number."""
        return self.value(np.array(value, np.float32))

    def same(self, operator: str, *inputs: str, **attributes: object) -> str:
        """A node whose output has the first input's shape."""
        return self.add(operator, *inputs, shape=self.shapes[inputs[0]], **attributes)

    def reshape(self, x: str, *shape: int) -> str:
        """Another shape of the same elements."""
        return self.add("Reshape", x, self.ints(*shape), shape=shape)

    def transpose(self, x: str, *perm: int) -> str:
        """Axes in another order."""
        return self.add("Transpose", x, shape=[self.shapes[x][axis] for axis in perm], perm=list(perm))

    def concat(self, tensors: Sequence[str], axis: int) -> str:
        """Tensors side by side."""
        shape = list(self.shapes[tensors[0]])
        shape[axis] = sum(self.shapes[name][axis] for name in tensors)
        return self.add("Concat", *tensors, shape=shape, axis=axis)

    def matmul(self, x: str, y: str) -> str:
        """Matrix product over the last two axes."""
        return self.add("MatMul", x, y, shape=(*self.shapes[x][:-1], self.shapes[y][-1]))

    def save(self, path: Path, outputs: Sequence[str]) -> None:
        """Write the model; its weights go into a file beside it."""
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, self.shapes[name]) for name in outputs]
        graph = helper.make_graph(self._nodes, self.name, self._inputs, values, self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
        onnx.save_model(
            model, path, save_as_external_data=True, location=f"{path.stem}.weights", size_threshold=_EXTERNAL_BYTES
        )
