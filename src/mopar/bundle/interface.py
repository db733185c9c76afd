"""Reads an ONNX file's inputs, outputs and external data files without onnx, which would cost serving 70 MiB.

Subgraphs, functions and tensors are parsed only where their bytes contain the word ``location``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mopar.bundle.wire import BYTES, VARINT, fields_of, signed
from mopar.types import Dim, TensorSpec, dtype_of_code

_DEEPEST = 100
"""Deepest nesting of messages; protobuf itself has the same limit."""
_LOCATION = b"location"

# Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_TYPE_ELEMENT, _TENSOR_TYPE_SHAPE = 1, 2
_SHAPE_DIM = 1
_DIM_VALUE, _DIM_SYMBOL = 1, 2
_TENSOR_NAME, _TENSOR_EXTERNAL = 8, 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

# For each kind of message, the fields whose messages may contain tensors: number -> kind of message.
_HOLDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
}

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ExternalBytes:
    """A tensor's external data: a file, and the end of the tensor's bytes in it as far as that is declared."""

    location: str
    stop: int


@dataclass(frozen=True, slots=True)
class GraphInterface:
    """The inputs that an ONNX file requires and the outputs that it declares, in order, and its external data.

    An input with an initializer of its name is a weight that could be replaced, and is left out.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    external: tuple[ExternalBytes, ...]


def interface_of(data: bytes) -> GraphInterface:
    """Parse the interface of an ONNX file.

    Args:
        data: the file's bytes.

    Raises:
        ValueError: it is not an ONNX file, an input or output is not a tensor of a known element type, or a field
            that must be unique is repeated.
    """
    graph = _only(data, (0, len(data)), _MODEL_GRAPH)
    if graph is None:
        raise ValueError("it has no graph")
    weights = {_text(data, _only(data, tensor, _TENSOR_NAME)) for tensor in _all(data, graph, _GRAPH_INITIALIZER)}
    declared = (_spec(data, value) for value in _all(data, graph, _GRAPH_INPUT))
    inputs = tuple(spec for spec in declared if spec.name not in weights)
    outputs = tuple(_spec(data, value) for value in _all(data, graph, _GRAPH_OUTPUT))
    return GraphInterface(inputs, outputs, tuple(_external(data, (0, len(data)), "model", 0)))


def _all(data: bytes, span: Span, wanted: int) -> list[Span]:
    """The positions of a message's fields of that number."""
    return [(start, stop) for number, wire, start, stop in fields_of(data, *span) if (number, wire) == (wanted, BYTES)]


def _only(data: bytes, span: Span, wanted: int) -> Span | None:
    """The position of a field that must occur at most once: parsers would merge several into one."""
    found = _all(data, span, wanted)
    if len(found) > 1:
        raise ValueError(f"field {wanted} of a message stands there {len(found)} times")
    return found[0] if found else None


def _spec(data: bytes, span: Span) -> TensorSpec:
    name = _text(data, _only(data, span, _VALUE_NAME))
    kind = _only(data, span, _VALUE_TYPE)
    tensor = _only(data, kind, _TYPE_TENSOR) if kind is not None else None
    if tensor is None:
        raise ValueError(f"{name} is no tensor")
    element = (_TENSOR_TYPE_ELEMENT, VARINT)
    codes = [value for number, wire, value, _ in fields_of(data, *tensor) if (number, wire) == element]
    shape = _only(data, tensor, _TENSOR_TYPE_SHAPE)
    try:
        dtype = dtype_of_code(codes[-1] if codes else 0)
    except KeyError as cause:
        raise ValueError(f"{name} has an unknown element type") from cause
    if shape is None:
        return TensorSpec(name, dtype.name, None)
    return TensorSpec(name, dtype.name, tuple(_dim(data, dim) for dim in _all(data, shape, _SHAPE_DIM)))


def _dim(data: bytes, span: Span) -> Dim:
    found: Dim = None
    for number, wire, start, stop in fields_of(data, *span):
        if (number, wire) == (_DIM_VALUE, VARINT):
            found = signed(start)
        elif (number, wire) == (_DIM_SYMBOL, BYTES):
            found = _text(data, (start, stop)) or None
    return found


def _external(data: bytes, span: Span, kind: str, depth: int) -> Iterator[ExternalBytes]:
    """The external data of all tensors in a message."""
    if data.find(_LOCATION, *span) < 0:
        return
    if depth > _DEEPEST:
        raise ValueError("its messages lie too deep in each other")
    if kind == "tensor":
        yield from _locations(data, span)
        return
    holds = _HOLDS[kind]
    for number, wire, start, stop in fields_of(data, *span):
        if wire == BYTES and number in holds:
            yield from _external(data, (start, stop), holds[number], depth + 1)


def _locations(data: bytes, span: Span) -> Iterator[ExternalBytes]:
    """Every location that a tensor declares, since parsers differ in which of several they use."""
    locations, offset, length = [], 0, 0
    for number, wire, start, stop in fields_of(data, *span):
        if (number, wire) != (_TENSOR_EXTERNAL, BYTES):
            continue
        key, value = "", ""
        for inner, kind, first, last in fields_of(data, start, stop):
            if kind == BYTES and inner == _ENTRY_KEY:
                key = _text(data, (first, last))
            elif kind == BYTES and inner == _ENTRY_VALUE:
                value = _text(data, (first, last))
        if key == "location":
            locations.append(value)
        elif key == "offset":
            offset = _count(value)
        elif key == "length":
            length = _count(value)
    return (ExternalBytes(location, offset + length) for location in locations)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ValueError(f"{text[:20]!r} is no number of bytes")
    return int(text)


def _text(data: bytes, span: Span | None) -> str:
    return "" if span is None else data[slice(*span)].decode()
