"""What an ONNX file takes and gives, and the files that it names, read without onnx: serving saves its 70 MiB.

Only what can matter is looked at: bodies, functions and tensors where the word ``location`` stands somewhere in them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mopar.bundle.wire import BYTES, VARINT, fields_of, signed
from mopar.types import Dim, TensorSpec, dtype_of_code

_DEEPEST = 100
"""Messages within each other; protobuf itself gives up there."""
_LOCATION = b"location"

# Fields by number, of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_INPUT, _GRAPH_OUTPUT = 11, 12
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_TYPE_ELEMENT, _TENSOR_TYPE_SHAPE = 1, 2
_SHAPE_DIM = 1
_DIM_VALUE, _DIM_SYMBOL = 1, 2
_TENSOR_EXTERNAL = 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

# Where messages hold others that can hold a tensor, by kind: number -> kind.
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
    """A tensor's bytes in a file of their own, up to ``stop``, as far as that is told."""

    location: str
    stop: int


@dataclass(frozen=True, slots=True)
class GraphInterface:
    """What an ONNX file says that it takes and gives, in order, and where it keeps weights."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    external: tuple[ExternalBytes, ...]


def interface_of(data: bytes) -> GraphInterface:
    """The interface of the model that an ONNX file holds.

    Args:
        data: the file's bytes.

    Raises:
        ValueError: it is no ONNX file, takes or gives something else than tensors of a known element type, or says
            something twice.
    """
    graph = _only(data, (0, len(data)), _MODEL_GRAPH)
    if graph is None:
        raise ValueError("it has no graph")
    inputs = tuple(_spec(data, value) for value in _all(data, graph, _GRAPH_INPUT))
    outputs = tuple(_spec(data, value) for value in _all(data, graph, _GRAPH_OUTPUT))
    return GraphInterface(inputs, outputs, tuple(_external(data, (0, len(data)), "model", 0)))


def _all(data: bytes, span: Span, wanted: int) -> list[Span]:
    """Where the message's fields of that number are."""
    return [(start, stop) for number, wire, start, stop in fields_of(data, *span) if (number, wire) == (wanted, BYTES)]


def _only(data: bytes, span: Span, wanted: int) -> Span | None:
    """Where the message's only field of that number is. Two would be merged into one."""
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
    """Each location that a tensor names: which one counts is the reader's affair."""
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
