"""What an optimised, prepacked model file holds, and what of it stays in memory while it runs.

ONNX Runtime writes each packed weight beside the original, in the same external file, and records it
among the original's ``external_data`` entries::

    prepacked_0 = "<operator>+<hash>|<offset>;<bytes>;<checksum>[|<offset>;<bytes>;<checksum>..]"

Kernels of that operator read the packed copy, so the original's pages stay on disk.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import onnx_ir as ir

from mopar.types import EngineError, dtype_of_code

PACKED_KEY = "prepacked_"
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """An initializer of the optimised file.

    Attributes:
        name: in the optimised graph.
        bytes: of the original.
        packed: operator and bytes of each packed copy.
        readers: optimised nodes of the outermost graph that read it, by index (bodies count as their node).
        operators: operator types of the nodes that read it themselves.
    """

    name: str
    bytes: int
    packed: tuple[tuple[str, int], ...]
    readers: tuple[int, ...] = ()
    operators: frozenset[str] = frozenset()

    @property
    def file_bytes(self) -> int:
        """Bytes in the built file."""
        return self.bytes + sum(size for _, size in self.packed)

    @property
    def resident_bytes(self) -> int:
        """Bytes that requests touch: the original counts unless every reader's operator has a packed copy.

        A table counts in full, although one request gathers only some of its rows: the next gathers others.
        """
        return sum(size for _, size in self.packed) + (self.bytes if self.read_as_it_is else 0)

    @property
    def read_as_it_is(self) -> bool:
        """Whether requests read the original too."""
        return not self.operators or not self.operators <= {operator for operator, _ in self.packed}


@dataclass(slots=True)
class _Readers:
    nodes: list[int] = field(default_factory=list)
    operators: set[str] = field(default_factory=set)


def stored_weights(optimised: Path) -> tuple[StoredWeight, ...]:
    """Every initializer of an optimised file, those in bodies of control flow included.

    Raises:
        EngineError: a packed weight's record is not of the form that this module knows.
    """
    model = onnx.load(optimised, format="protobuf", load_external_data=False)
    readers: dict[str, _Readers] = {}
    for index, node in enumerate(model.graph.node):
        for reader in (node, *inner_nodes(node)):
            _note_reader(readers, index, reader)
    weights = []
    for tensor in initializers_of(model.graph):
        read = readers.get(tensor.name, _Readers())
        weights.append(
            StoredWeight(
                name=tensor.name,
                bytes=_bytes_of(tensor),
                packed=_packed_copies(tensor),
                readers=tuple(dict.fromkeys(read.nodes)),
                operators=frozenset(read.operators),
            )
        )
    return tuple(weights)


def optimised_graph(optimised: Path) -> ir.Graph:
    """The graph of an optimised file; weights are named, not read, and none of them is an input."""
    model = onnx.load(optimised, format="protobuf", load_external_data=False)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for tensor in initializers_of(model.graph):
        # onnx-ir warns of keys that it does not know.
        known = [entry for entry in tensor.external_data if not entry.key.startswith(PACKED_KEY)]
        del tensor.external_data[:]
        tensor.external_data.extend(known)
    return ir.from_proto(model).graph


def _note_reader(readers: dict[str, _Readers], index: int, node: onnx.NodeProto) -> None:
    for name in filter(None, node.input):
        entry = readers.setdefault(name, _Readers())
        entry.nodes.append(index)
        entry.operators.add(node.op_type)


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def inner_nodes(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Nodes in the bodies of a node, at any depth."""
    for body in _bodies(node):
        for inner in body.node:
            yield inner
            yield from inner_nodes(inner)


def initializers_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Initializers of a graph and of the bodies in it."""
    yield from graph.initializer
    for node in graph.node:
        for body in _bodies(node):
            yield from initializers_of(body)


def _bytes_of(tensor: onnx.TensorProto) -> int:
    dtype = dtype_of_code(tensor.data_type)
    if dtype.bits == 0:
        return sum(len(text) for text in tensor.string_data)
    return dtype.nbytes(math.prod(tensor.dims))


def _packed_copies(tensor: onnx.TensorProto) -> tuple[tuple[str, int], ...]:
    copies = []
    for entry in tensor.external_data:
        if entry.key.startswith(PACKED_KEY):
            key, blobs = packed_blobs(tensor.name, entry.value)
            operator, plus, _ = key.rpartition("+")
            copies.append((operator if plus else key, sum(size for _, size, _ in blobs)))
    return tuple(copies)


def packed_blobs(name: str, record: str) -> tuple[str, list[tuple[int, int, str]]]:
    """Key of a weight's packed copy, and of each of its blobs offset, bytes and checksum.

    Raises:
        EngineError: the record is not of the form that this module knows.
    """
    key, _, blobs = record.partition("|")
    try:
        parts = [blob.split(";", 2) for blob in blobs.split("|") if blob]
        return key, [(int(offset), int(size), checksum) for offset, size, checksum in parts]
    except ValueError as cause:
        raise EngineError(f"weight {name!r}: unknown record of a packed copy: {record!r}") from cause
