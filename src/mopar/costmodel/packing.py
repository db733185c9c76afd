"""Which weights the engine packs, and what they take then: rules, so that no weight need be read.

MlasGemmPackBSize rounds columns up to 16 and aligns to a cache line (onnxruntime/core/mlas/lib/sgemm.cpp). A packed
weight's original stays in the file, and its pages are not read. Large matrices that meet one row are not packed (see
``mopar.engine.plain``).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from mopar.engine.packed import StoredWeight
from mopar.engine.plain import MATRIX_PRODUCTS, stays_plain
from mopar.engine.work.common import shape_of
from mopar.engine.work.facts import NodeFacts, node_facts
from mopar.nodes import name_of, subgraphs_of

_COLUMNS = 16
_ALIGNMENT = 64
_RECURRENT = {"LSTM", "GRU"}


@dataclass(slots=True)
class _Readers:
    nodes: list[int] = field(default_factory=list)
    operators: set[str] = field(default_factory=set)
    copies: dict[str, int] = field(default_factory=dict)


def predicted_weights(graph: ir.Graph, shapes: Mapping[str, tuple[int, ...]]) -> tuple[StoredWeight, ...]:
    """The initializers of an optimised graph with the packed copies that the engine will keep.

    Args:
        graph: as the engine optimises it.
        shapes: of its tensors, as far as they are the same at every point.
    """
    readers: dict[ir.Value, _Readers] = {}
    for index, node in enumerate(graph):
        _note(readers, index, node, node_facts(node, shapes))
        for inner in _inner_nodes(node):
            _note(readers, index, inner, NodeFacts(inner.op_type))
    found = []
    for value in _initializers(graph):
        assert value.const_value is not None
        read = readers.get(value, _Readers())
        found.append(
            StoredWeight(
                name=name_of(value),
                bytes=value.const_value.nbytes,
                packed=tuple(read.copies.items()),
                readers=tuple(dict.fromkeys(read.nodes)),
                operators=frozenset(read.operators),
            )
        )
    return tuple(found)


def _note(readers: dict[ir.Value, _Readers], index: int, node: ir.Node, facts: NodeFacts) -> None:
    for place, value in enumerate(node.inputs):
        if value is None:
            continue
        entry = readers.setdefault(value, _Readers())
        entry.nodes.append(index)
        entry.operators.add(node.op_type)
        packed = packed_bytes(facts, place)
        if packed:
            entry.copies[node.op_type] = max(packed, entry.copies.get(node.op_type, 0))


def packed_bytes(node: NodeFacts, place: int) -> int:
    """Bytes of the packed copy of a node's input; 0 where the engine keeps the original."""
    weight = node.given(place)
    if weight is None or not weight.weight or weight.bits != 32:
        return 0
    shape = shape_of(weight)
    if node.operator in MATRIX_PRODUCTS and place == 1 and len(shape) == 2:
        if stays_plain(_rows(node), int(weight.bytes)):
            return 0
        columns, depth = shape if node.number("transB", 0) == 1 else (shape[1], shape[0])
        return _gemm_bytes(columns, depth)
    if node.operator in _RECURRENT and place in {1, 2} and len(shape) == 3:
        return shape[0] * _gemm_bytes(shape[1], shape[2])
    if node.operator == "Attention" and place == 1 and len(shape) == 2:
        heads = max(node.number("num_heads", 1), 1)
        return 3 * heads * _gemm_bytes(shape[1] // 3 // heads, shape[0])
    if node.operator == "ConvTranspose" and place == 1 and not node.domain:
        return int(weight.bytes)
    return 0


def _rows(node: NodeFacts) -> int | None:
    shape = shape_of(node.given(0))
    if not shape or node.number("transA", 0) or node.number("transBatchA", 0):
        return None
    return math.prod(shape[:-1])


def _gemm_bytes(columns: int, depth: int) -> int:
    size = math.ceil(columns / _COLUMNS) * _COLUMNS * depth * 4
    return math.ceil(size / _ALIGNMENT) * _ALIGNMENT


def _inner_nodes(node: ir.Node) -> Iterator[ir.Node]:
    for attribute in node.attributes.values():
        for body in subgraphs_of(attribute):
            yield from ir.traversal.RecursiveGraphIterator(body)


def _initializers(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from (value for value in graph.initializers.values() if value.const_value is not None)
    for node in graph:
        for attribute in node.attributes.values():
            for body in subgraphs_of(attribute):
                yield from _initializers(body)
