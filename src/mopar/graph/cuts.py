"""Cut positions and their boundary tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mopar.graph.layers import Layer
from mopar.graph.model import Model, required_spec, spec_of
from mopar.nodes import is_weight, name_of, reads_of
from mopar.types import TensorSpec


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut position between layers ``index - 1`` and ``index``.

    Attributes:
        index: 1 .. number of layers - 1.
        tensors: names of the tensors produced before and read after the position, in order of production.
        inputs: names of the model's inputs that are read after the position.
    """

    index: int
    tensors: tuple[str, ...]
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Life:
    """The layer that produces a tensor (-1 for a request's input) and the layers that read it."""

    value: ir.Value
    made: int
    read: tuple[int, ...]


def cut_positions(model: Model, layers: Sequence[Layer]) -> tuple[Cut, ...]:
    """Every position at which the model can be cut.

    A sequence, an optional, a string or a value of unknown type cannot cross a cut. Takes time linear in the number
    of layers times the number of boundary tensors.
    """
    by_maker: dict[int, list[_Life]] = {}
    for life in _lives(model, layers):
        if life.read and life.read[-1] > life.made:
            by_maker.setdefault(life.made, []).append(life)
    crossing: list[_Life] = list(by_maker.get(-1, ()))
    cuts: list[Cut] = []
    for index in range(1, len(layers)):
        crossing = [life for life in (*crossing, *by_maker.get(index - 1, ())) if life.read[-1] >= index]
        if not all(_can_travel(life.value) for life in crossing):
            continue
        tensors = tuple(name_of(life.value) for life in crossing if life.made >= 0)
        cuts.append(Cut(index, tensors, tuple(name_of(life.value) for life in crossing if life.made < 0)))
    return tuple(cuts)


def boundary(
    model: Model, layers: Sequence[Layer], start: int, stop: int
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The boundary of layers ``start`` to ``stop`` (exclusive): tensors that they read, and that others read of them.

    An input of the model that is also one of its outputs is produced by no layer, so it is in no
    boundary's outputs.

    Raises:
        ModelError: a value that crosses is not a tensor of a known element type.
    """
    inputs, outputs = boundary_values(model, layers, start, stop)
    what = f"{model.path.name}: layers {start} to {stop} cannot stand alone:"
    return (
        tuple(required_spec(value, what) for value in inputs),
        tuple(required_spec(value, what) for value in outputs),
    )


def boundary_values(
    model: Model, layers: Sequence[Layer], start: int, stop: int
) -> tuple[list[ir.Value], list[ir.Value]]:
    """The boundary as in :func:`boundary`, as values of the canonical graph."""
    assert 0 <= start < stop <= len(layers), f"no such run of layers: {start} to {stop} of {len(layers)}"
    wanted = set(model.ir.graph.outputs)
    inputs: list[ir.Value] = []
    outputs: list[ir.Value] = []
    for life in _lives(model, layers):
        if life.made < start and any(start <= layer < stop for layer in life.read):
            inputs.append(life.value)
        if start <= life.made < stop and (life.value in wanted or any(layer >= stop for layer in life.read)):
            outputs.append(life.value)
    return inputs, outputs


def _lives(model: Model, layers: Sequence[Layer]) -> list[_Life]:
    """Lifetimes of the model's inputs, then of each layer's outputs in order, unread values included."""
    graph = model.ir.graph
    read: dict[ir.Value, list[int]] = {}
    made: dict[ir.Value, int] = dict.fromkeys(graph.inputs, -1)
    for place, layer in enumerate(layers):
        for node in model.nodes[layer.start : layer.stop]:
            for value in reads_of(node, graph):
                if not is_weight(value):
                    read.setdefault(value, []).append(place)
            made.update((value, place) for value in node.outputs if value.name)
    return [_Life(value, layer, tuple(read.get(value, ()))) for value, layer in made.items()]


def _can_travel(value: ir.Value) -> bool:
    spec = spec_of(value)
    return spec is not None and spec.dtype != "string"
