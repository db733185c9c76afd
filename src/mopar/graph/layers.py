"""Layers: the smallest units that a plan moves."""

from dataclasses import dataclass

from mopar.graph.model import Model
from mopar.nodes import is_weight, name_of, reads_of


@dataclass(frozen=True, slots=True)
class Layer:
    """Consecutive nodes that no plan takes apart.

    Attributes:
        index: position among the layers.
        nodes: their names, in order.
        operators: their operator types, in order.
        weights: names of the weights that they read, each once.
        start: index in ``Model.nodes`` of the first; ``stop`` is one past the last.
        stop: see ``start``.
    """

    index: int
    nodes: tuple[str, ...]
    operators: tuple[str, ...]
    weights: tuple[str, ...]
    start: int
    stop: int


def layers_of(model: Model) -> tuple[Layer, ...]:
    """The layers of a model; together they hold every node, in order."""
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
