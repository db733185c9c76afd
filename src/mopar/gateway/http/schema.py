"""The JSON form of an inference request."""

from dataclasses import dataclass
from typing import Annotated

import msgspec

from mopar.files import JSON_ERRORS
from mopar.gateway.http.jsondata import has_constants, parse_json, without_constants
from mopar.gateway.http.jsonscan import BLOCK, MAX_HEAD_BYTES, SPACES, Split, split
from mopar.types import RequestError

Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_ABSENT = msgspec.Raw()
_MAX_SHAPE_BYTES = 4096
_SHAPE = msgspec.json.Decoder(Annotated[list[Size], msgspec.Meta(max_length=64)])


class Parameters(msgspec.Struct, frozen=True):
    """The parameters that are used here, as JSON that is not decoded yet; others are skipped."""

    binary_data_size: msgspec.Raw = _ABSENT
    binary_data: msgspec.Raw = _ABSENT
    binary_data_output: msgspec.Raw = _ABSENT
    shared_memory_region: msgspec.Raw = _ABSENT
    shared_memory_offset: msgspec.Raw = _ABSENT
    shared_memory_byte_size: msgspec.Raw = _ABSENT
    classification: msgspec.Raw = _ABSENT


_NONE = Parameters()


class InputTensor(msgspec.Struct, frozen=True):
    """One of a request's inputs; ``data`` is empty where binary data follows, and not decoded otherwise."""

    name: str
    datatype: str
    shape: msgspec.Raw
    parameters: Parameters = _NONE
    data: msgspec.Raw = _ABSENT


class OutputTensor(msgspec.Struct, frozen=True):
    """One of the requested outputs."""

    name: str
    parameters: Parameters = _NONE


class InferRequest(msgspec.Struct, frozen=True):
    """An inference request; unknown fields are skipped."""

    inputs: list[InputTensor]
    outputs: list[OutputTensor] = []
    id: str | None = None
    parameters: Parameters = _NONE


_REQUEST = msgspec.json.Decoder(InferRequest)


def parse_request(text: memoryview) -> tuple[InferRequest, Split | None]:
    """An inference request from its JSON, and the tensors' data where they were taken out of it before.

    Raises:
        RequestError: it is not JSON, or not of the protocol; names the field that is wrong.
    """
    if len(text) <= MAX_HEAD_BYTES:
        try:
            str(text, "utf-8")  # msgspec does not check the encoding of what it skips
            return _REQUEST.decode(text), None
        except msgspec.ValidationError as cause:
            raise RequestError(f"the request is malformed: {cause}") from cause
        except JSON_ERRORS as cause:
            if isinstance(cause, RecursionError) or not has_constants(bytes(text)):
                raise RequestError(f"the body is not valid JSON: {cause}") from cause
    parts = split(_without_trailing_space(text))
    request = _of_head(parts.head)
    taken = sum(parts.span(bytes(tensor.data)) is not None for tensor in request.inputs)
    if taken != len(parts.spans):
        raise RequestError("the request is malformed: data that belong to no input")
    return request, parts


def _without_trailing_space(text: memoryview) -> memoryview:
    stop = len(text)
    while stop:
        last = bytes(text[max(0, stop - BLOCK) : stop])
        kept = last.rstrip(SPACES)
        stop -= len(last) - len(kept)
        if kept:
            break
    return text[:stop]


def _of_head(head: bytes) -> InferRequest:
    try:
        head.decode()
        try:
            return _REQUEST.decode(head)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if not has_constants(head):
                raise
        return _REQUEST.decode(without_constants(head))
    except msgspec.ValidationError as cause:
        raise RequestError(f"the request is malformed: {cause}") from cause
    except JSON_ERRORS as cause:
        raise RequestError(f"the body is not valid JSON: {cause}") from cause


def shape_of(tensor: InputTensor, what: str) -> tuple[int, ...]:
    """A tensor's shape. Raises RequestError."""
    text = memoryview(tensor.shape)
    if len(text) > _MAX_SHAPE_BYTES:
        raise RequestError(f"{what}: a shape has 64 dimensions at most")
    try:
        return tuple(_SHAPE.decode(text))
    except msgspec.DecodeError as cause:
        raise RequestError(f"the request is malformed: {cause} of the shape of {what}") from cause


def _value(parameter: msgspec.Raw) -> object:
    text = memoryview(parameter)
    return parse_json(text) if text else None


def flag(parameter: msgspec.Raw, name: str, what: str) -> bool | None:
    """A parameter that is true or false; None where absent. Raises RequestError."""
    value = _value(parameter)
    if value is None or isinstance(value, bool):
        return value
    raise RequestError(f"{what}: parameter {name} must be true or false")


def size(parameter: msgspec.Raw, name: str, what: str) -> int | None:
    """A parameter that counts bytes; None where absent. Raises RequestError."""
    value = _value(parameter)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RequestError(f"{what}: parameter {name} must be a whole number of bytes")
    return value


@dataclass(frozen=True, slots=True)
class SharedPart:
    """Where parameters say that a tensor is, or is to be put: bytes of a registered region."""

    region: str
    offset: int
    nbytes: int


def shared_part(parameters: Parameters, what: str) -> SharedPart | None:
    """The part of a region that parameters name; None where they name none. Raises RequestError."""
    region = _value(parameters.shared_memory_region)
    if region is None:
        return None
    if not isinstance(region, str):
        raise RequestError(f"{what}: parameter shared_memory_region must be a region's name")
    nbytes = size(parameters.shared_memory_byte_size, "shared_memory_byte_size", what)
    if nbytes is None:
        raise RequestError(f"{what}: shared_memory_region needs the parameter shared_memory_byte_size")
    return SharedPart(region, size(parameters.shared_memory_offset, "shared_memory_offset", what) or 0, nbytes)


def refuse_extensions(parameters: Parameters, what: str) -> None:
    """Refuse extensions that would change the answer and are not supported. Raises RequestError."""
    if memoryview(parameters.classification):
        raise RequestError(f"{what}: the classification extension is not offered here")
