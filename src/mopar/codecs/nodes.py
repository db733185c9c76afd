"""Nodes added to a graph by an encoder or a decoder."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

_AXES_ARE_INPUTS = 18
"""The opset from which reductions take their axes as an input."""


class Nodes:
    """Makes nodes that the caller then puts at the beginning or at the end of a graph.

    Args:
        graph: they are for; gets the constants.
        name: that theirs begin with.
    """

    def __init__(self, graph: ir.Graph, name: str) -> None:
        self._graph, self._name = graph, name
        self._made: list[ir.Node] = []
        self._constants = 0

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        return self._graph.opset_imports.get("", 1)

    def add(
        self,
        operator: str,
        *inputs: ir.Value,
        dtype: ir.DataType = ir.DataType.FLOAT,
        rank: int | None = None,
        name: str | None = None,
        axis: int | None = None,
        **attributes: float | str | Sequence[int],
    ) -> ir.Value:
        """Add a node of one output.

        Args:
            operator: its type.
            inputs: its inputs.
            dtype: of its output.
            rank: of its output; None where it is not known.
            name: of its output; by default one of its own.
            axis: an attribute; None where the node has none.
            attributes: of the node.
        """
        own = name or f"{self._name}/{operator}{len(self._made)}"
        given = attributes if axis is None else {**attributes, "axis": axis}
        node = ir.node(operator, inputs, given, name=own)
        made = node.outputs[0]
        made.name, made.type = own, ir.TensorType(dtype)
        made.shape = None if rank is None else ir.Shape([None] * rank)
        self._made.append(node)
        return made

    def reduce(self, operator: str, value: ir.Value, axes: Sequence[int], rank: int, *, keep: bool = False) -> ir.Value:
        """A reduction over axes, which are dropped unless they are to ``keep``; over all where there are none."""
        if not axes:
            return self.add(operator, value, rank=rank if keep else 0, keepdims=int(keep))
        if self.opset >= _AXES_ARE_INPUTS:
            return self.add(operator, value, self.constant(np.array(axes, np.int64)), rank=rank, keepdims=int(keep))
        return self.add(operator, value, rank=rank, axes=tuple(axes), keepdims=int(keep))

    def constant(self, array: NDArray[np.generic]) -> ir.Value:
        """An initializer of the graph."""
        self._constants += 1
        tensor = ir.tensor(array, name=f"{self._name}/constant{self._constants}")
        value = ir.Value(
            name=tensor.name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor
        )
        self._graph.register_initializer(value)
        return value

    @property
    def made(self) -> Sequence[ir.Node]:
        """The nodes, in order."""
        return self._made
