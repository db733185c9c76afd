"""Messages to functions on Lambda (``mopar.runtime.aws_lambda.envelope``), as a client writes and reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import msgspec

from mopar.bundle.call_shapes import Shape, tensor_bytes
from mopar.files import JSON_ERRORS
from mopar.platforms.codes import EncodedValue, checked_code
from mopar.platforms.outputs import MalformedError, checked_output, checked_shape
from mopar.runtime.aws_lambda.wire import MEMORY, MOST_BODY_BYTES, REFUSED, encoded_bytes
from mopar.types import (
    DeploymentError,
    MoparError,
    OutOfMemoryError,
    RequestError,
    TensorSpec,
    TensorValue,
    dtype_of_name,
    oip_of,
)


@dataclass(frozen=True, slots=True, init=False)
class StoredValue(TensorValue):
    """A tensor whose data are an object of the store, or a range of it, and not here.

    Attributes:
        key: of the object.
        offset: where its data begin in the object; None where they are all of it.
        length: of the range, in bytes.
    """

    key: str = ""
    offset: int | None = None
    length: int = 0

    def __init__(
        self, name: str, dtype: str, shape: Shape, key: str, offset: int | None = None, length: int = 0
    ) -> None:
        TensorValue.__init__(self, name, dtype, shape, b"")
        for field, value in (("key", key), ("offset", offset), ("length", length)):
            object.__setattr__(self, field, value)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, by their shape; 0 of strings, which only the object tells."""
        return tensor_bytes(self.dtype, self.shape) or 0


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where a function finds and puts objects.

    Attributes:
        bucket: its name.
        prefix: of new keys.
        above_bytes: outputs of more bytes become objects; None for those that an answer has no room for.
    """

    bucket: str
    prefix: str
    above_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class InvokeAnswer:
    """Outputs in the graph's order, and what a call took inside the function and inside the engine."""

    outputs: tuple[TensorValue | EncodedValue, ...]
    held_ns: int
    compute_ns: int


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: bytes | None = None
    object: str | None = None
    encoding: str | None = None
    decoded_byte_size: int = 0
    crc32: int = 0


class _Error(msgspec.Struct):
    kind: str
    message: str


class _Answer(msgspec.Struct):
    outputs: list[_Output] | None = None
    held_ns: int = 0
    compute_ns: int = 0
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode
Sent = TensorValue | EncodedValue
NO_ENCODINGS: Mapping[str, str | None] = MappingProxyType({})


def invoke_message(
    graph: str,
    inputs: Sequence[Sent],
    store: StorePlace | None = None,
    encodings: Mapping[str, str | None] = NO_ENCODINGS,
) -> bytes:
    """The message that has a function run a graph.

    Args:
        graph: its name.
        inputs: its tensors.
        store: where objects are; None where nothing may become one.
        encodings: of outputs; None for those that are sent as they are.

    Raises:
        RequestError: Lambda takes no message of this size (413).
    """
    needed = message_bytes(graph, inputs, store, encodings)
    if needed > MOST_BODY_BYTES:
        raise _too_large(graph, inputs, needed)
    return msgspec.json.encode(_document(graph, [_input(value) for value in inputs], store, encodings))


def message_bytes(
    graph: str,
    inputs: Sequence[Sent],
    store: StorePlace | None = None,
    encodings: Mapping[str, str | None] = NO_ENCODINGS,
) -> int:
    """The size of the message that ``invoke_message`` makes of the same, whether Lambda takes it or not."""
    data = sum(encoded_bytes(sent_bytes(value)) for value in inputs)
    described = [value if isinstance(value, StoredValue) else replace(value, data=memoryview(b"")) for value in inputs]
    return data + len(msgspec.json.encode(_document(graph, [_input(value) for value in described], store, encodings)))


def sent_bytes(value: Sent) -> int:
    """Bytes of a tensor, or of its code, that a message has in base64; 0 of an object's."""
    return 0 if isinstance(value, StoredValue) else memoryview(value.data).nbytes


def read_answer(
    function: str,
    body: bytes | memoryview,
    specs: Sequence[TensorSpec],
    shapes: Sequence[Shape | None],
    encodings: Mapping[str, str | None] = NO_ENCODINGS,
) -> InvokeAnswer:
    """The outputs in an answer.

    Args:
        function: its name, for errors.
        body: the answer.
        specs: the graph's outputs, in order.
        shapes: of each; None where it does not follow from the inputs' shapes.
        encodings: that outputs were asked for with; a function sends as they are those that do not get smaller.

    Raises:
        RequestError: the function refused the request.
        OutOfMemoryError: it had too little memory for it.
        DeploymentError: it failed in another way.
        MalformedError: the answer does not fit the graph's outputs.
    """
    try:
        answer = _decode(body)
    except JSON_ERRORS as cause:
        raise MalformedError(f"it is no answer of a function's: {cause}") from cause
    if answer.error is not None:
        raise _error_of(function, answer.error)
    outputs = answer.outputs or []
    if [output.name for output in outputs] != [spec.name for spec in specs]:
        raise MalformedError(f"it gives the outputs {', '.join(output.name for output in outputs)[:200]}")
    found = zip(outputs, specs, shapes, strict=True)
    values = tuple(_output(output, spec, shape, encodings.get(spec.name)) for output, spec, shape in found)
    return InvokeAnswer(values, answer.held_ns, answer.compute_ns)


def _document(
    graph: str, inputs: Sequence[dict[str, object]], store: StorePlace | None, encodings: Mapping[str, str | None]
) -> dict[str, object]:
    document: dict[str, object] = {"graph": graph, "inputs": inputs}
    texts = {name: text for name, text in encodings.items() if text is not None}
    if texts:
        document["encodings"] = texts
    if store is not None:
        above = {} if store.above_bytes is None else {"above_bytes": store.above_bytes}
        document["store"] = {"bucket": store.bucket, "prefix": store.prefix, **above}
    return document


def _input(value: Sent) -> dict[str, object]:
    source: dict[str, object]
    if isinstance(value, StoredValue):
        part = {} if value.offset is None else {"offset": value.offset, "bytes": value.length}
        source = {"object": value.key, **part}
    elif isinstance(value, EncodedValue):
        source = {**value.members(), "data": value.data}
    else:
        source = {"data": memoryview(value.data)}
    return {"name": value.name, "datatype": oip_of(dtype_of_name(value.dtype)), "shape": value.shape, **source}


def _output(output: _Output, spec: TensorSpec, shape: Shape | None, encoding: str | None) -> Sent:
    if (output.data is None) == (output.object is None):
        raise MalformedError(f"output {spec.name} has no data, or an object beside them")
    if output.object is not None and output.encoding is not None:
        raise MalformedError(f"output {spec.name} is an object, which is never encoded")
    if output.data is not None and output.encoding is not None:
        how = output.encoding, output.decoded_byte_size, output.crc32
        code = EncodedValue(spec.name, spec.dtype, tuple(output.shape), *how, memoryview(output.data))
        return checked_code(code, output.datatype, spec, shape, encoding)
    if output.data is not None:
        return checked_output(output.datatype, output.shape, spec, shape, output.data)
    assert output.object is not None, "compared above"
    return StoredValue(spec.name, spec.dtype, checked_shape(output.datatype, output.shape, spec, shape), output.object)


def _too_large(graph: str, inputs: Sequence[Sent], nbytes: int) -> RequestError:
    largest = max(inputs, key=sent_bytes, default=None)
    named = "" if largest is None else f"; {largest.name} has {sent_bytes(largest)}"
    return RequestError(
        f"graph {graph}: its inputs make a message of {nbytes} bytes, where Lambda takes {MOST_BODY_BYTES}{named}: "
        "deploy with --bucket, which such tensors pass through",
        413,
    )


def _error_of(function: str, error: _Error) -> MoparError:
    text = f"function {function}: {' '.join(error.message.split())[:2000]}"
    if error.kind == REFUSED:
        return RequestError(text)
    if error.kind == MEMORY:
        return OutOfMemoryError(text)
    return DeploymentError(text)
