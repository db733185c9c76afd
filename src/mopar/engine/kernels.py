"""Which nodes of the canonical graph each kernel of the engine's optimised graph computes.

A kernel is matched by the tensors that it makes: an optimised node keeps the name of the tensor at
the end of what it fuses, a node in the blocked layout (NCHWc) is called ``<tensor>_nchwc`` after it,
and a node that was merely moved keeps its own name. From the tensors that it makes, a kernel covers
everything back to tensors that other kernels make.
"""

from dataclasses import dataclass

import onnx_ir as ir

from mopar.nodes import is_weight, name_of, reads_of

_NCHWC = "com.microsoft.nchwc"
_NCHWC_SUFFIX = "_nchwc"
_LAYOUT_ONLY = {"ReorderInput", "ReorderOutput", "Transpose", "Cast"}
_SUM_INPUT = 3
"""The blocked Conv takes the tensor that it adds to its result as its fourth input."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One node of the optimised graph.

    Attributes:
        name: of the optimised node, which the engine's profiler prints; several nodes of one name are one entry.
        operator: its operator type.
        nodes: names of the canonical nodes that it computes, in order. For a node that only changes the
            layout: those of its neighbour, on whose behalf it works.
        layout_only: whether it only changes the layout (or precision) of a tensor.
        nested: whether it stands in the body of an If, Loop or Scan; the time of that node includes its own.
    """

    name: str
    operator: str
    nodes: tuple[str, ...]
    layout_only: bool = False
    nested: bool = False


def attribute_kernels(graph: ir.Graph, optimised: ir.Graph) -> list[Kernel]:
    """The kernels of an optimised graph, in its order, each body's after the node that it belongs to.

    ``nodes`` is empty only where the graph has no node that could be meant.

    Args:
        graph: the canonical graph that was handed to the engine.
        optimised: what the engine made of it, at any level.
    """
    canon = _Canon(graph)
    nodes = list(optimised)
    made = [canon.tensors_of(node) for node in nodes]
    materialised = {tensor for tensors in made for tensor in tensors}
    covers = [canon.cover(tensors, materialised) for tensors in made]
    kernels: list[Kernel] = []
    for position, node in enumerate(nodes):
        cover = covers[position] or _neighbour(node, nodes, covers)
        names = tuple(canon.names[index] for index in sorted(cover))
        kernels.append(Kernel(node.name or "", node.op_type, names, layout_only=_is_layout_only(node, made[position])))
        kernels.extend(
            Kernel(inner.name or "", inner.op_type, names, nested=True)
            for attribute in node.attributes.values()
            if attribute.type == ir.AttributeType.GRAPH
            for inner in ir.traversal.RecursiveGraphIterator(attribute.as_graph())
        )
    return kernels


class _Canon:
    """The canonical graph by tensor names."""

    def __init__(self, graph: ir.Graph) -> None:
        self.nodes = list(graph)
        self.names = [str(node.name) for node in self.nodes]
        self.by_name = {name: index for index, name in enumerate(self.names)}
        self.producer = {name_of(v): i for i, node in enumerate(self.nodes) for v in node.outputs if v.name}
        self.reads = [tuple(name_of(v) for v in reads_of(n, graph) if not is_weight(v)) for n in self.nodes]
        self.consumers: dict[str, list[int]] = {}
        for index, reads in enumerate(self.reads):
            for tensor in reads:
                self.consumers.setdefault(tensor, []).append(index)

    def tensors_of(self, node: ir.Node) -> tuple[str, ...]:
        """The canonical tensors that an optimised node makes; none where nothing tells."""
        if node.domain == _NCHWC:
            return self._blocked_tensor(node)
        outputs = tuple(value.name for value in node.outputs if value.name in self.producer)
        if outputs:
            return tuple(str(name) for name in outputs)
        index = self.by_name.get(node.name or "")
        return self._outputs(index) if index is not None and self.nodes[index].op_type == node.op_type else ()

    def _outputs(self, index: int) -> tuple[str, ...]:
        return tuple(name_of(value) for value in self.nodes[index].outputs if value.name)

    def _blocked_tensor(self, node: ir.Node) -> tuple[str, ...]:
        """The tensor of a node in the blocked layout, beyond the sum and activation fused after it was named."""
        tensor = (node.name or "").removesuffix(_NCHWC_SUFFIX)
        if tensor not in self.producer and tensor in self.by_name:
            # Where a transpose was moved past a node, the tensor between them is called after the node.
            tensor = self._outputs(self.by_name[tensor])[0]
        if node.op_type in _LAYOUT_ONLY or tensor not in self.producer:
            return ()
        reordered = [
            value.name for after in _after(node) if after.op_type == "ReorderOutput" for value in after.outputs
        ]
        if reordered and reordered[0] in self.producer:
            return (str(reordered[0]),)
        if len(node.inputs) > _SUM_INPUT and node.inputs[_SUM_INPUT] is not None:
            tensor = self._next(tensor, {"Add", "Sum"})
        activation = node.attributes.get("activation")
        if activation is not None and self.nodes[self.producer[tensor]].op_type != activation.as_string():
            tensor = self._next(tensor, {activation.as_string()})
        return (tensor,)

    def _next(self, tensor: str, operators: set[str]) -> str:
        """The tensor made from ``tensor`` by its only consumer, where that is one of ``operators``."""
        consumers = self.consumers.get(tensor, [])
        if len(consumers) == 1 and self.nodes[consumers[0]].op_type in operators:
            return name_of(self.nodes[consumers[0]].outputs[0])
        return tensor

    def cover(self, tensors: tuple[str, ...], materialised: set[str]) -> set[int]:
        """Nodes between ``tensors`` and what other kernels make, as indices."""
        pending = [self.producer[tensor] for tensor in tensors]
        found = set(pending)
        while pending:
            for tensor in self.reads[pending.pop()]:
                index = self.producer.get(tensor)
                if index is None or index in found or tensor in materialised:
                    continue
                found.add(index)
                pending.append(index)
        return found


def _is_layout_only(node: ir.Node, made: tuple[str, ...]) -> bool:
    return not made and node.op_type in _LAYOUT_ONLY


def _neighbour(node: ir.Node, nodes: list[ir.Node], covers: list[set[int]]) -> set[int]:
    """What the nearest kernel after the node computes, else the nearest before it.

    A reordering out of the blocked layout belongs to the kernel before it.
    """
    index = {other: position for position, other in enumerate(nodes)}
    directions = (_before, _after) if node.op_type == "ReorderOutput" else (_after, _before)
    for direction in directions:
        pending, seen = [node], {node}
        while pending:
            current = pending.pop(0)
            for other in direction(current):
                if other in seen or other not in index:
                    continue
                if covers[index[other]]:
                    return covers[index[other]]
                seen.add(other)
                pending.append(other)
    return set()


def _after(node: ir.Node) -> list[ir.Node]:
    return [consumer for value in node.outputs for consumer in value.consumers()]


def _before(node: ir.Node) -> list[ir.Node]:
    producers = (value.producer() for value in node.inputs if value is not None)
    return [producer for producer in producers if producer is not None]
