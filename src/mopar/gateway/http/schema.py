"""The JSON of the protocol: an inference request's form."""

from typing import Annotated

import msgspec

from mopar.gateway.arrays import Buffer
from mopar.gateway.http.jsondata import parse_json
from mopar.types import RequestError

Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Parameters = dict[str, object]


class InputTensor(msgspec.Struct, frozen=True):
    """One of a request's inputs; ``data`` is absent where binary data follows."""

    name: str
    datatype: str
    shape: Annotated[list[Size], msgspec.Meta(max_length=64)]
    parameters: Parameters = {}
    data: object = msgspec.UNSET


class OutputTensor(msgspec.Struct, frozen=True):
    """One of the outputs that a request asks for."""

    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct, frozen=True):
    """An inference request; unknown fields are ignored."""

    inputs: list[InputTensor]
    outputs: list[OutputTensor] = []
    id: str | None = None
    parameters: Parameters = {}


def parse_request(text: Buffer) -> InferRequest:
    """An inference request from its JSON. Raises RequestError naming the field that is wrong."""
    try:
        return msgspec.convert(parse_json(text), InferRequest)
    except msgspec.ValidationError as cause:
        raise RequestError(f"the request is malformed: {cause}") from cause


def flag(parameters: Parameters, name: str, what: str) -> bool | None:
    """A parameter that is true or false; None where absent. Raises RequestError."""
    value = parameters.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise RequestError(f"{what}: parameter {name} must be true or false")


def size(parameters: Parameters, name: str, what: str) -> int | None:
    """A parameter that counts bytes; None where absent. Raises RequestError."""
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RequestError(f"{what}: parameter {name} must be a whole number of bytes")
    return value


def refuse_extensions(parameters: Parameters, what: str) -> None:
    """Refuse what would change the answer and is not offered. Raises RequestError."""
    for name in ("shared_memory_region", "classification"):
        if name in parameters:
            raise RequestError(f"{what}: the {name} extension is not offered here")
