"""The messages between a function on Lambda and who invokes it: JSON, with tensors in base64 or as objects of S3.

    {"graph": NAME, "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": BASE64},
                               {"name": "y", "datatype": "FP32", "shape": [9], "object": KEY},
                               {"name": "z", "datatype": "FP32", "shape": [2], "object": KEY, "offset": 4, "bytes": 8}],
     "store": {"bucket": NAME, "prefix": TEXT, "above_bytes": NUMBER}, "encodings": {"y": "blosc2:lz4-shuffle"}}

    {"outputs": [the same form], "held_ns": NUMBER, "compute_ns": NUMBER}
    {"error": {"kind": "refused" | "memory" | "failed", "message": ONE LINE}}

Datatypes and binary forms are those of the Open Inference Protocol: elements in row-major order, little endian, strings
with their lengths before them. ``store`` may be absent; it has the objects of inputs, of which one may be a range, and
takes outputs of more than ``above_bytes``, and those that an answer has no room for. ``encodings`` may be absent: it
has the codecs of outputs that are to be encoded. Data that are encoded, which objects never are, have the members of
``mopar.runtime.encoded`` beside them. Lambda bills and retries by the status of an invocation, so that of an error is
a success too; an invocation fails where the process is broken.

What runs a whole plan takes the model's inputs, and answers its outputs, in the same form without ``graph`` and
``store``: where its objects are is its own configuration.
"""

from mopar.runtime.aws_lambda.base64text import Span, decoded_bytes, encode_pieces, parse_without_long
from mopar.runtime.aws_lambda.wire import MOST_BODY_BYTES, encoded_bytes
from mopar.runtime.encoded import known_encoding
from mopar.runtime.engine import STRING, packed_bytes
from mopar.runtime.jsontext import quoted
from mopar.runtime.request import RefusedError, inputs_of

TYPE_CHECKING = False  # typing and collections cost memory
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mopar.runtime.config import Graph, Port
    from mopar.runtime.encoded import Encoding
    from mopar.runtime.engine import Tensor

_MOST_TEXT_BYTES = 1024
_TIMES = '],"held_ns":%15d,"compute_ns":%15d}'
"""Of a fixed length, since times are known when most of an answer has been sent already."""


class Store:
    """Where objects are: ``bucket``, the ``prefix`` of new keys, and ``above_bytes``, the size of larger outputs."""

    __slots__ = ("above_bytes", "bucket", "prefix")

    def __init__(self, item: "dict[object, object]") -> None:
        self.bucket = _text(item, "bucket")
        self.prefix = _text(item, "prefix")
        above = item.get("above_bytes", MOST_BODY_BYTES)
        if type(above) is not int or above < 0 or not self.bucket:
            raise RefusedError(400, "store needs a bucket, a prefix and a number as above_bytes")
        self.above_bytes = above


class Source:
    """An input's data: ``text`` in base64, or an object's ``key``.

    Attributes:
        index, port, shape: of the input.
        nbytes: of its data; None where only the object tells.
        offset: where they begin in the object; None where they are all of it.
        item: has the members of encoded data.
    """

    __slots__ = ("index", "item", "key", "nbytes", "offset", "port", "shape", "text")

    def __init__(
        self,
        index: int,
        port: "Port",
        shape: "tuple[int, ...]",
        text: "memoryview | None",
        key: str,
        offset: "int | None",
        item: "dict[object, object]",
    ) -> None:
        self.index = index
        self.item = item
        self.port = port
        self.shape = shape
        self.text = text
        self.key = key
        self.offset = offset
        self.nbytes: int | None = None
        if text is not None:
            self.nbytes = _decoded_bytes(port, text)
        elif port.code != STRING:
            self.nbytes = packed_bytes(port.code, shape)


class Request:
    """A parsed message; the sources of its inputs are views of the message itself."""

    __slots__ = ("encodings", "graph", "sources", "store")

    def __init__(
        self, graph: "Graph", sources: "list[Source]", store: "Store | None", encodings: "list[str | None]"
    ) -> None:
        self.encodings = encodings
        self.graph = graph
        self.sources = sources
        self.store = store


def read_request(body: bytearray, graphs: "dict[str, Graph]") -> Request:
    """The request in a message.

    Args:
        body: the message.
        graphs: of the function, by name.

    Raises:
        RefusedError: it is malformed, or does not fit the graph.
    """
    item = _document(body)
    name, store = item.get("graph"), item.get("store")
    graph = graphs.get(name) if isinstance(name, str) else None
    if graph is None:
        raise RefusedError(404, f"the message's graph must be one of {', '.join(graphs)}")
    if store is not None and not isinstance(store, dict):
        raise RefusedError(400, "store must be an object of JSON")
    where = None if store is None else Store(store)
    sources = _sources(item, graph, body, with_store=where is not None)
    return Request(graph, sources, where, _encodings(item, graph))


def read_inputs(body: bytearray, graph: "Graph", *, with_store: bool) -> "list[Source]":
    """The inputs in a message to what runs a whole plan.

    Args:
        body: the message.
        graph: the model, as a graph.
        with_store: whether inputs may be objects.

    Raises:
        RefusedError: it is malformed, or does not fit the model.
    """
    return _sources(_document(body), graph, body, with_store=with_store)


class Answer:
    """An answer that is sent piece by piece: base64 is made of outputs while they are sent.

    Args:
        outputs: port, tensor, and data or an object's key of each.
        encodings: of the data; empty where none are encoded.

    Attributes:
        length: of the whole answer in bytes.
    """

    def __init__(
        self,
        outputs: "list[tuple[Port, Tensor, memoryview | bytes | str]]",
        encodings: "tuple[()] | list[Encoding | None]" = (),
    ) -> None:
        self._encodings = encodings or [None] * len(outputs)
        self._outputs = outputs
        self.length = len('{"outputs":[') + len(_times(0, 0)) + max(len(outputs) - 1, 0)
        for (port, tensor, data), how in zip(outputs, self._encodings, strict=True):
            described = _described(port, tensor, data, how)
            self.length += len(described) + (0 if isinstance(data, str) else 2 + _text_bytes(data))

    def pieces(self, compute_ns: int, held_ns: "Callable[[], int]") -> "Iterator[bytes]":
        """The answer's bytes.

        Args:
            compute_ns: time inside the engine.
            held_ns: returns the time since the message arrived; called when everything else was sent.
        """
        before = '{"outputs":['
        for (port, tensor, data), how in zip(self._outputs, self._encodings, strict=True):
            described = before + _described(port, tensor, data, how)
            if isinstance(data, str):
                yield described.encode()
            else:
                yield (described[:-1] + '"').encode()
                yield from encode_pieces(data)
                yield b'"}'
            before = ","
        yield ("" if self._outputs else before).encode() + _times(held_ns(), compute_ns)


def write_error(kind: str, text: str) -> bytes:
    """The message of an error: one line."""
    return f'{{"error":{{"kind":{quoted(kind)},"message":{quoted(" ".join(text.split()))}}}}}'.encode()


def object_key(prefix: str, request: str, index: int, name: str) -> str:
    """The key of an output's object: the output's name in characters that any tool takes, after its number."""
    plain = "".join([character if character.isascii() and character.isalnum() else "-" for character in name])
    return f"{prefix}{request}/{index}-{plain[:100]}"


def _document(body: bytearray) -> "dict[object, object]":
    """A message's JSON. Raises RefusedError where it is none, or too long."""
    if len(body) > MOST_BODY_BYTES:
        raise RefusedError(413, f"a message of {len(body)} bytes: Lambda's limit is {MOST_BODY_BYTES}")
    try:
        item = parse_without_long(body)
    except ValueError as cause:
        cut = ", cut off at Lambda's limit" if len(body) == MOST_BODY_BYTES else ""
        raise RefusedError(400, f"the message is not valid JSON{cut}: {cause}") from cause
    if not isinstance(item, dict):
        raise RefusedError(400, "the message must be an object of JSON")
    return item


def _sources(item: "dict[object, object]", graph: "Graph", body: bytearray, *, with_store: bool) -> "list[Source]":
    view = memoryview(body)
    return [_source(*found, view, with_store=with_store) for found in inputs_of(item, graph)]


def _times(held_ns: int, compute_ns: int) -> bytes:
    return (_TIMES % (held_ns, compute_ns)).encode()


def _described(port: "Port", tensor: "Tensor", data: "memoryview | bytes | str", encoding: "Encoding | None") -> str:
    """An output's JSON; of data, what comes before and after them."""
    shape = ",".join(map(str, tensor.shape))
    how = "" if encoding is None else f"{encoding.described(tensor.nbytes)},"
    value = f'"object":{quoted(data)}' if isinstance(data, str) else f'{how}"data":'
    return f'{{"name":{quoted(port.name)},"datatype":{quoted(port.datatype)},"shape":[{shape}],{value}}}'


def _text_bytes(data: "memoryview | bytes") -> int:
    return encoded_bytes(len(data))


def _source(
    index: int,
    port: "Port",
    shape: "tuple[int, ...]",
    item: "dict[object, object]",
    view: memoryview,
    *,
    with_store: bool,
) -> Source:
    data, key = item.get("data"), item.get("object")
    if isinstance(data, Span):
        text: memoryview | None = view[data.start : data.end]
    elif isinstance(data, str) and data.isascii():
        text = memoryview(data.encode())
    else:
        text = None
    if (text is None) == (key is None) or not (key is None or isinstance(key, str)):
        raise RefusedError(400, f"input {port.name} needs data in base64, or else the key of an object")
    if key is not None and not with_store:
        raise RefusedError(400, f"input {port.name} is an object: say in which store")
    if key is not None and item.get("encoding") is not None:
        raise RefusedError(400, f"input {port.name} is an object, which is never encoded")
    source = Source(index, port, shape, text, key or "", _offset(port, item), item)
    if source.offset is not None and (text is not None or source.nbytes != item["bytes"]):
        raise RefusedError(
            400, f"input {port.name}: offset and bytes are for objects, of as many bytes as its shape has"
        )
    return source


def _encodings(item: "dict[object, object]", graph: "Graph") -> "list[str | None]":
    """The codec of each output; None where it is to be sent as it is."""
    found = item.get("encodings", {})
    if not isinstance(found, dict):
        raise RefusedError(400, "encodings must be an object of JSON")
    texts = [found.get(port.name) for port in graph.outputs]
    named = zip(graph.outputs, texts, strict=True)
    return [None if text is None else known_encoding(f"output {port.name}", text) for port, text in named]


def _offset(port: "Port", item: "dict[object, object]") -> "int | None":
    """Where an input begins in its object; None where it is all of it."""
    offset, count = item.get("offset"), item.get("bytes")
    if offset is None and count is None:
        return None
    if type(offset) is not int or type(count) is not int or offset < 0:
        raise RefusedError(400, f"input {port.name} needs both offset and bytes, or none")
    return offset


def _decoded_bytes(port: "Port", text: memoryview) -> int:
    try:
        return decoded_bytes(text)
    except ValueError as cause:
        raise RefusedError(400, f"input {port.name}: {cause}") from cause


def _text(item: "dict[object, object]", key: str) -> str:
    value = item.get(key, "")
    if not isinstance(value, str) or len(value) > _MOST_TEXT_BYTES:
        raise RefusedError(400, f"store's {key} must be text")
    return value
