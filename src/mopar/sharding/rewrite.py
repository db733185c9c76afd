"""Rewrites the model of consecutive layers into one part's model, with only its share of work and weights."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mopar.nodes import is_weight, name_of
from mopar.sharding.pieces import WHOLE, Piece, Span
from mopar.sharding.propagate import Propagation, propagate
from mopar.sharding.rule import Part, Sharded
from mopar.sharding.trim import is_trimmed_in_layout, trimming_kernel

_VARIADIC = ("Concat", "Max", "Mean", "Min", "Sum")
"""Operators with any number of inputs: an unused input is removed, not left empty."""

_SLICE_BY_INPUTS = 10
"""The opset from which Slice takes its bounds as inputs."""


def shard_model(model: ir.Model, wanted: Mapping[str, Piece], part: Part) -> dict[str, Piece]:
    """Rewrite a model in place into that of one part.

    Args:
        model: model of consecutive layers; nodes in topological order.
        wanted: requested piece of each output by name; outputs without an entry are removed.
        part: the part.

    Returns:
        The piece of each input that the part reads, as one span at most; inputs that it does not read are removed.

    Raises:
        ConflictError: a summand is requested where none can be made.
    """
    graph = model.graph
    requested = {value: wanted[name_of(value)] for value in graph.outputs if name_of(value) in wanted}
    found = propagate(list(graph), requested, graph.outputs, part)
    writer = _Writer(graph, found)
    taken = writer.take_inputs()
    for node in list(graph):
        if node in found.shards:
            writer.rewrite(node, found.shards[node])
    writer.give_outputs(requested)
    return taken


class _Writer:
    """Applies the result of a propagation to a graph."""

    def __init__(self, graph: ir.Graph, found: Propagation) -> None:
        self._graph, self._found = graph, found
        self._has: dict[ir.Value, Piece] = {}
        self._cut: dict[tuple[ir.Value, Piece], ir.Value] = {}
        self._weights: dict[tuple[ir.Value, Piece], ir.Value] = {}
        self._stand_in: dict[ir.Value, ir.Value] = {}
        self._fresh = 0

    def take_inputs(self) -> dict[str, Piece]:
        taken: dict[str, Piece] = {}
        for value in list(self._graph.inputs):
            need = self._found.requested_of(value)
            if need is None:
                self._graph.inputs.remove(value)
                continue
            self._has[value] = taken[name_of(value)] = need.hull()
            _reshape(value, need.hull())
        return taken

    def rewrite(self, node: ir.Node, how: Sharded) -> None:
        if how.passes is not None:
            self._pass(node, how)
            return
        self._rewrite_inputs(node, how)
        for name, attribute in how.attributes.items():
            if attribute is None:
                node.attributes.pop(name, None)
            else:
                node.attributes[name] = attribute
        for output, piece in zip(node.outputs, how.outputs, strict=True):
            if piece is not None:
                self._has[output] = piece
                _reshape(output, piece)
        if None in how.outputs:
            self._make_only(node, [number for number, piece in enumerate(how.outputs) if piece is not None])

    def give_outputs(self, requested: Mapping[ir.Value, Piece]) -> None:
        """Replace the graph's outputs by the requested pieces, under the same names, and remove unused nodes."""
        given = []
        for value, piece in requested.items():
            name = name_of(value)
            made = self._fetch(value, piece, None)
            if made is not value or value.is_graph_input():
                value.name = None if value is made else f"{name}/made"
                made = self._identity(made) if made.is_graph_input() or made in given or is_weight(made) else made
                made.name = name
            given.append(made)
        self._graph.outputs[:] = given
        for node in reversed(list(self._graph)):
            if not any(output.uses() or output in given for output in node.outputs):
                self._graph.remove(node, safe=True)
        for name, value in list(self._graph.initializers.items()):
            if not value.uses() and value not in given:
                del self._graph.initializers[name]

    def _rewrite_inputs(self, node: ir.Node, how: Sharded) -> None:
        inputs: list[ir.Value | None] = []
        for number, (value, piece) in enumerate(zip(node.inputs, how.inputs, strict=True)):
            if number in how.constants:
                inputs.append(self._constant(node, how.constants[number]))
            else:
                inputs.append(None if value is None or piece is None else self._fetch(value, piece, node))
        if len(inputs) in how.constants:
            inputs.append(self._constant(node, how.constants[len(inputs)]))
        if node.op_type in _VARIADIC:
            inputs = [value for value in inputs if value is not None]
        node.resize_inputs(len(inputs))
        for number, value in enumerate(inputs):
            node.replace_input_with(number, value)

    def _make_only(self, node: ir.Node, numbers: list[int]) -> None:
        """Replace a node by one that has only some of its outputs."""
        made = ir.node(node.op_type, node.inputs, domain=node.domain, num_outputs=len(numbers), name=node.name)
        made.attributes.update(node.attributes)
        for number, output in zip(numbers, made.outputs, strict=True):
            old = node.outputs[number]
            output.name, output.type, output.shape = f"{old.name}/only", old.type, old.shape
            self._stand_in[old] = output
        self._graph.insert_before(node, made)

    def _pass(self, node: ir.Node, how: Sharded) -> None:
        assert how.passes is not None
        value, piece = node.inputs[how.passes], how.inputs[how.passes]
        assert value is not None
        assert piece is not None
        output, made = next(pair for pair in zip(node.outputs, how.outputs, strict=True) if pair[1] is not None)
        assert made is not None
        self._stand_in[output] = self._fetch(value, piece, node)
        self._has[output] = made

    def _fetch(self, value: ir.Value, piece: Piece, before: ir.Node | None) -> ir.Value:
        """A value that holds ``piece``; where necessary it is sliced in front of ``before`` (None: at the end)."""
        if is_weight(value):
            return value if piece.is_whole else self._weight(value, piece)
        has = self._has.get(value, WHOLE)
        source = self._stand_in.get(value, value)
        if piece == has:
            return source
        if (value, piece) not in self._cut:
            self._cut[value, piece] = self._slice(source, has, piece, before)
        return self._cut[value, piece]

    def _slice(self, source: ir.Value, has: Piece, piece: Piece, before: ir.Node | None) -> ir.Value:
        parts, axis = [], piece.axis
        assert axis is not None
        spans = has.local(piece)
        if len(spans) == 1 and is_trimmed_in_layout(source, axis, spans[0], before):
            return self._trim(source, axis, spans[0], before)
        for start, stop in spans:
            bounds = {"starts": [start], "ends": [stop], "axes": [axis]}
            if self._graph.opset_imports.get("", 1) < _SLICE_BY_INPUTS:
                parts.append(self._insert("Slice", [source], bounds, source, before))
                continue
            inputs = [self._initializer(source, np.array(bound)) for bound in bounds.values()]
            parts.append(self._insert("Slice", [source, *inputs], {}, source, before))
        made = parts[0] if len(parts) == 1 else self._insert("Concat", parts, {"axis": piece.axis}, source, before)
        made.shape = None if source.shape is None else ir.Shape(list(source.shape))
        _reshape(made, piece)
        return made

    def _trim(self, source: ir.Value, axis: int, span: Span, before: ir.Node | None) -> ir.Value:
        kernel = trimming_kernel(source, axis, span)
        attributes = {"group": kernel.shape[0], "kernel_shape": kernel.shape[2:]}
        made = self._insert("Conv", [source, self._initializer(source, kernel)], attributes, source, before)
        assert source.shape is not None
        made.shape = ir.Shape(list(source.shape))
        _reshape(made, Piece(axis, (span,)))
        return made

    def _weight(self, value: ir.Value, piece: Piece) -> ir.Value:
        if (value, piece) not in self._weights:
            assert value.const_value is not None
            assert piece.axis is not None
            self._fresh += 1
            name = f"{value.name}/{self._fresh}"
            tensor = _cut_tensor(value.const_value, piece, name)
            made = ir.Value(name=name, type=value.type, shape=ir.Shape(tensor.shape.numpy()), const_value=tensor)
            self._graph.register_initializer(made)
            self._weights[value, piece] = made
        return self._weights[value, piece]

    def _constant(self, node: ir.Node, array: npt.NDArray[np.generic]) -> ir.Value:
        return self._initializer(node.outputs[0], array)

    def _initializer(self, near: ir.Value, array: npt.NDArray[np.generic]) -> ir.Value:
        self._fresh += 1
        tensor = ir.tensor(array, name=f"{near.name}/constant{self._fresh}")
        value = ir.Value(
            name=tensor.name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(tensor.shape.numpy()), const_value=tensor
        )
        self._graph.register_initializer(value)
        return value

    def _identity(self, value: ir.Value) -> ir.Value:
        made = self._insert("Identity", [value], {}, value, None)
        made.shape = value.shape
        return made

    def _insert(
        self,
        op_type: str,
        inputs: list[ir.Value],
        attributes: Mapping[str, int | Sequence[int] | None],
        like: ir.Value,
        before: ir.Node | None,
    ) -> ir.Value:
        self._fresh += 1
        name = f"{like.name}/{op_type.lower()}{self._fresh}"
        made = ir.node(op_type, inputs, attributes, name=name)
        made.outputs[0].name, made.outputs[0].type = name, like.type
        if before is None:
            self._graph.append(made)
        else:
            self._graph.insert_before(before, made)
        return made.outputs[0]


def _reshape(value: ir.Value, piece: Piece) -> None:
    if piece.axis is not None and value.shape is not None:
        dims = list(value.shape)
        dims[piece.axis] = piece.size
        value.shape = ir.Shape(dims)


def _cut_tensor(tensor: ir.TensorProtocol, piece: Piece, name: str) -> ir.TensorProtocol:
    """A piece of a stored weight, whose data is read lazily when it is written."""
    assert piece.axis is not None
    axis = piece.axis
    dims = [int(dim) for dim in tensor.shape]  # type: ignore[arg-type]
    dims[axis] = piece.size

    def read() -> ir.TensorProtocol:
        array = tensor.numpy()
        pieces = [array[(slice(None),) * axis + (slice(start, stop),)] for start, stop in piece.spans]
        cut = np.ascontiguousarray(pieces[0]) if len(pieces) == 1 else np.concatenate(pieces, axis)
        return ir.Tensor(cut, dtype=tensor.dtype, name=name)

    return ir.LazyTensor(read, dtype=tensor.dtype, shape=ir.Shape(dims), name=name)
