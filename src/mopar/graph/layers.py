"""Layers: the smallest units that a plan assigns to functions."""

from dataclasses import dataclass

from mopar.graph.model import Model
from mopar.nodes import is_weight, name_of, reads_of


@dataclass(frozen=True, slots=True)
class Layer:
    """Consecutive nodes that are never split between functions.

    Attributes:
        index: position among the layers.
        nodes: names of the nodes, in order.
        operators: their operator types, in order.
        weights: names of the weights that they read, each once.
        start: index of the first node in ``Model.nodes``.
        stop: one past the index of the last node.
    """

    index: int
    nodes: tuple[str, ...]
    operators: tuple[str, ...]
    weights: tuple[str, ...]
    start: int
    stop: int


def layers_of(model: Model) -> tuple[Layer, ...]:
    """The layers of a model, in order; every node belongs to one."""
    layers: list[Layer] = []
    start = 0
    for index, run in enumerate(model.runs):
        stop = start + len(run)
        nodes = model.nodes[start:stop]
        assert tuple(node.name for node in nodes) == run
        reads = (value for node in nodes for value in reads_of(node, model.ir.graph))
        weights = tuple(dict.fromkeys(name_of(value) for value in reads if is_weight(value)))
        layers.append(Layer(index, run, tuple(node.op_type for node in nodes), weights, start, stop))
        start = stop
    return tuple(layers)
