"""Inference messages of the Open Inference Protocol as a client writes and reads them, with binary tensors."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from urllib.parse import quote

import msgspec

from mopar.bundle.call_shapes import Shape
from mopar.files import JSON_ERRORS
from mopar.platforms.codes import EncodedValue, checked_code
from mopar.platforms.http.connection import Reply
from mopar.platforms.outputs import MalformedError, checked_output
from mopar.types import TensorSpec, TensorValue, dtype_of_name, oip_of

MAX_JSON_BYTES = 1 << 20
"""Of an answer: more than the outputs of any function need."""
_LONGEST_NUMBER = 18
NO_OUTPUTS: Mapping[str, str | None] = MappingProxyType({})


class _Parameters(msgspec.Struct):
    binary_data_size: int
    encoding: str | None = None
    decoded_byte_size: int = 0
    crc32: int = 0


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: _Parameters


class _Answer(msgspec.Struct):
    outputs: list[_Tensor]


_decode = msgspec.json.Decoder(_Answer).decode


def infer_path(graph: str) -> str:
    """The path of a graph's inferences, relative to a function's URL."""
    return f"/v2/models/{quote(graph, safe='')}/infer"


def request_body(
    inputs: Sequence[TensorValue | EncodedValue], outputs: Mapping[str, str | None] = NO_OUTPUTS
) -> list[bytes | memoryview]:
    """The JSON of a request, and the data that follow it, as views of the inputs' data.

    Args:
        inputs: of the graph.
        outputs: all of its outputs in order, and the codecs that they are asked for with; may be empty where no output
            is to be encoded.
    """
    tensors: list[dict[str, object]] = []
    views: list[bytes | memoryview] = []
    for value in inputs:
        view = memoryview(value.data).cast("B")
        views.append(view)
        parameters: dict[str, object] = {"binary_data_size": len(view)}
        if isinstance(value, EncodedValue):
            parameters |= value.members()
        tensors.append(
            {
                "name": value.name,
                "shape": value.shape,
                "datatype": oip_of(dtype_of_name(value.dtype)),
                "parameters": parameters,
            }
        )
    document: dict[str, object] = {"inputs": tensors, "parameters": {"binary_data_output": True}}
    if any(outputs.values()):
        document["outputs"] = [
            {"name": name} if text is None else {"name": name, "parameters": {"encoding": text}}
            for name, text in outputs.items()
        ]
    return [msgspec.json.encode(document), *views]


def request_head(path: str, host: str, parts: Sequence[bytes | memoryview]) -> bytes:
    """The head of a request with this body, of which the first part is the JSON."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Length: {sum(map(len, parts))}\r\nInference-Header-Content-Length: {len(parts[0])}\r\n\r\n"
    ).encode()


def read_outputs(
    reply: Reply,
    specs: Sequence[TensorSpec],
    shapes: Sequence[Shape | None],
    codecs: Mapping[str, str | None] = NO_OUTPUTS,
) -> list[TensorValue | EncodedValue]:
    """The outputs of an answer, as views of its body.

    Args:
        reply: the answer.
        specs: the graph's outputs, in order.
        shapes: of each; None where it does not follow from the inputs' shapes.
        codecs: that outputs were asked for with; a function sends as they are those that do not get smaller.

    Raises:
        MalformedError: the answer does not fit the graph's outputs.
    """
    split = number(reply, "inference-header-content-length")
    if split > min(len(reply.body), MAX_JSON_BYTES):
        raise MalformedError("its JSON is longer than its body or what is read of it")
    try:
        tensors = _decode(reply.body[:split]).outputs
    except JSON_ERRORS as cause:
        raise MalformedError(f"its JSON is none of an inference: {cause}") from cause
    if [tensor.name for tensor in tensors] != [spec.name for spec in specs]:
        raise MalformedError(f"it gives the outputs {', '.join(tensor.name for tensor in tensors)[:200]}")
    values: list[TensorValue | EncodedValue] = []
    at = split
    for tensor, spec, shape in zip(tensors, specs, shapes, strict=True):
        size = tensor.parameters.binary_data_size
        if not 0 <= size <= len(reply.body) - at:
            raise MalformedError(f"output {spec.name} reaches past the body's end")
        values.append(_output(tensor, spec, shape, codecs.get(spec.name), reply.body[at : at + size]))
        at += size
    if at != len(reply.body):
        raise MalformedError(f"{len(reply.body) - at} bytes belong to no output")
    return values


def _output(
    tensor: _Tensor, spec: TensorSpec, shape: Shape | None, codec: str | None, data: memoryview
) -> TensorValue | EncodedValue:
    how = tensor.parameters
    if how.encoding is None:
        return checked_output(tensor.datatype, tensor.shape, spec, shape, data)
    dims = tuple(tensor.shape)
    code = EncodedValue(spec.name, spec.dtype, dims, how.encoding, how.decoded_byte_size, how.crc32, data)
    return checked_code(code, tensor.datatype, spec, shape, codec)


def number(reply: Reply, header: str) -> int:
    """A header's number. Raises MalformedError where there is none."""
    text = reply.headers.get(header, "")
    if not text or len(text) > _LONGEST_NUMBER or not (text.isascii() and text.isdecimal()):
        raise MalformedError(f"the header {header} is no number")
    return int(text)


def own_error(reply: Reply) -> str | None:
    """What a function's own error says: JSON with an ``error``. None where it is somebody else's, such as a proxy's."""
    try:
        found = msgspec.json.decode(reply.body, type=dict[str, str])
    except JSON_ERRORS:
        return None
    return found.get("error")


def error_text(reply: Reply) -> str:
    """What an error's body says, in one line."""
    own = own_error(reply)
    text = bytes(reply.body[:200]).decode(errors="replace") if own is None else own
    return " ".join(text.split()) or f"status {reply.status}"
