"""Decodes a request's body to checked tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mopar.buffers import Buffer
from mopar.gateway.http.jsondata import JSON_TYPES, from_json_data, parse_json
from mopar.gateway.http.jsonpieces import from_json_span
from mopar.gateway.http.jsonscan import Split, blocks
from mopar.gateway.http.schema import (
    InferRequest,
    InputTensor,
    SharedPart,
    flag,
    parse_request,
    refuse_extensions,
    shape_of,
    shared_part,
    size,
)
from mopar.gateway.regions import aligned, read
from mopar.runtime.strings import count_strings
from mopar.segments import Place
from mopar.types import (
    Dim,
    RequestError,
    TensorSpec,
    TensorValue,
    dtype_of_name,
    dtype_of_oip,
    element_count,
    format_shape,
    oip_of,
)

_CHECKED = frozenset({"string", "bool"})
"""Element types not every byte pattern of which is a value."""


@dataclass(frozen=True, slots=True)
class Inference:
    """A request for the backend, and the form of its answer.

    Attributes:
        id: to echo; None where the request has none.
        inputs: by name.
        outputs: requested names, in order; None for all.
        binary: names of the outputs to send as binary data.
        shared: output -> the part of a region where it is to be put.
        homes: the places of these.
    """

    id: str | None
    inputs: dict[str, TensorValue]
    outputs: tuple[str, ...] | None
    binary: frozenset[str]
    shared: Mapping[str, SharedPart] = field(default_factory=dict)
    homes: Mapping[str, Place] = field(default_factory=dict)


class Clients(Protocol):
    """The shared memory of a request's client."""

    @property
    def mapped(self) -> bool:
        """Whether functions can use it in place."""

    def place(self, part: SharedPart, what: str) -> Place:
        """A part of a region of the client's. Raises RequestError."""


class _Nobody:
    """A client without shared memory."""

    mapped = False

    def place(self, part: SharedPart, what: str) -> Place:
        raise RequestError(f"{what}: no region {part.region[:200]} of yours is registered")


NOBODY: Clients = _Nobody()


def decode(
    body: memoryview,
    header_length: str | None,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    clients: Clients = NOBODY,
) -> Inference:
    """Decode and check an inference request.

    Args:
        body: of the HTTP request; the values' data are views of it where they came as binary data.
        header_length: the header ``Inference-Header-Content-Length``; None where it is absent.
        inputs: of the model.
        outputs: of the model.
        clients: the client's shared memory.

    Raises:
        RequestError: it is malformed, or does not fit the model.
    """
    split = json_length(header_length, len(body))
    request, parts = parse_request(body[:split])
    refuse_extensions(request.parameters, "the request")
    values = _inputs(request, parts, body[split:], {spec.name: spec for spec in inputs}, clients)
    _check_symbols(values, inputs)
    shared = _shared_outputs(request)
    names, binary = _wanted(request, outputs, shared)
    homes = {name: clients.place(part, f"output {name}") for name, part in shared.items()}
    return Inference(request.id, values, names, binary, shared, homes)


def json_length(header: str | None, length: int) -> int:
    """How many of a body's bytes are JSON; binary data follow them.

    Args:
        header: the header ``Inference-Header-Content-Length``; None where it is absent, and all is JSON.
        length: of the body.

    Raises:
        RequestError: the header is no number, or larger than the body.
    """
    if header is None:
        return length
    # isdecimal alone accepts digits of other scripts; no length has more digits than this.
    if not (header.isascii() and header.isdecimal() and len(header) < 20 and int(header) <= length):
        raise RequestError(f"Inference-Header-Content-Length must be a number of bytes up to the body's {length}")
    return int(header)


def _inputs(
    request: InferRequest,
    parts: Split | None,
    binary: memoryview,
    specs: dict[str, TensorSpec],
    clients: Clients,
) -> dict[str, TensorValue]:
    values: dict[str, TensorValue] = {}
    at = 0
    for tensor in request.inputs:
        what = f"input {tensor.name}"
        if tensor.name not in specs:
            raise RequestError(f"{what} is unknown: the model takes {_names(specs)}")
        if tensor.name in values:
            raise RequestError(f"{what} is given twice")
        refuse_extensions(tensor.parameters, what)
        spec, shape = specs[tensor.name], shape_of(tensor, what)
        _check_spec(tensor.datatype, shape, spec, what)
        nbytes = size(tensor.parameters.binary_data_size, "binary_data_size", what)
        stop = at + (nbytes or 0)
        if stop > len(binary):
            raise RequestError(
                f"{what}: binary_data_size {nbytes}, but {len(binary) - at} bytes of binary data are left"
            )
        part = shared_part(tensor.parameters, what)
        if part is not None:
            if nbytes is not None:
                raise RequestError(f"{what} has both binary_data_size and shared_memory_region")
            values[tensor.name] = _from_region(tensor, clients, part, spec, shape)
            continue
        if nbytes is None:
            data = _from_json(tensor, parts, what, spec.dtype, shape)
        else:
            data = _from_binary(tensor, binary[at:stop], what, spec.dtype, shape)
        values[tensor.name] = TensorValue(tensor.name, spec.dtype, shape, data)
        at = stop
    if at != len(binary):
        raise RequestError(f"{len(binary) - at} bytes of binary data belong to no input")
    missing = [name for name in specs if name not in values]
    if missing:
        raise RequestError(f"input {missing[0]} is missing: the model takes {_names(specs)}")
    return values


def _names(specs: dict[str, TensorSpec]) -> str:
    return ", ".join(specs) or "no inputs"


def _check_spec(datatype: str, shape: tuple[int, ...], spec: TensorSpec, what: str) -> None:
    """Datatype, rank and fixed dimensions."""
    try:
        dtype = dtype_of_oip(datatype)
    except KeyError as cause:
        raise RequestError(f"{what}: unknown datatype {datatype}") from cause
    if dtype.name != spec.dtype:
        raise RequestError(f"{what} is {oip_of(dtype)}, the model takes {oip_of(dtype_of_name(spec.dtype))}")
    # Where one dimension is 0 there are no data that would bound the others; no engine can address such sizes.
    if element_count(max(dim, 1) for dim in shape) >= 1 << 48:
        raise RequestError(f"{what}: no tensor can have shape {format_shape(shape)}")
    if spec.shape is None:
        return
    fits = len(spec.shape) == len(shape) and all(
        want == got for want, got in zip(spec.shape, shape, strict=True) if isinstance(want, int)
    )
    if not fits:
        got = format_shape(shape)
        raise RequestError(f"{what} has shape {got}, the model takes {format_shape(spec.shape)}")


def _check_symbols(values: dict[str, TensorValue], specs: Sequence[TensorSpec]) -> None:
    """The same symbolic name must be the same size, across all inputs."""
    seen: dict[str, tuple[int, str]] = {}
    for spec in specs:
        shape: tuple[Dim, ...] = spec.shape or ()
        for symbol, got in zip(shape, values[spec.name].shape, strict=False):
            if not isinstance(symbol, str):
                continue
            known, where = seen.setdefault(symbol, (got, spec.name))
            if known != got:
                raise RequestError(f"dimension {symbol} is {known} in input {where} but {got} in input {spec.name}")


def _from_json(tensor: InputTensor, parts: Split | None, what: str, dtype: str, shape: tuple[int, ...]) -> Buffer:
    text = memoryview(tensor.data)
    if not text:
        raise RequestError(f"{what} has neither data nor binary_data_size")
    span = None if parts is None else parts.span(bytes(text))
    if span is not None:
        return from_json_span(span, tensor.name, dtype, shape)
    return from_json_data(parse_json(text), tensor.name, dtype, shape)


def _from_region(
    tensor: InputTensor, clients: Clients, part: SharedPart, spec: TensorSpec, shape: tuple[int, ...]
) -> TensorValue:
    """A tensor in the client's memory: copied where its elements are checked, or functions cannot use it there."""
    what = f"input {tensor.name}"
    place = clients.place(part, what)
    if not (clients.mapped and aligned(place)) or spec.dtype in _CHECKED:
        data = _from_binary(tensor, read(place), what, spec.dtype, shape)
        return TensorValue(tensor.name, spec.dtype, shape, data)
    _refuse_data(tensor, what)
    _check_bytes(place.nbytes, what, spec.dtype, shape)
    return TensorValue(tensor.name, spec.dtype, shape, b"", place)


def _from_binary(tensor: InputTensor, binary: memoryview, what: str, dtype: str, shape: tuple[int, ...]) -> Buffer:
    _refuse_data(tensor, what)
    if dtype == "string":
        _check_strings(binary, element_count(shape), what)
    else:
        _check_bytes(len(binary), what, dtype, shape)
    if dtype == "bool" and any(block.translate(None, b"\0\1") for block in blocks(binary)):
        raise RequestError(f"{what}: the bytes of a BOOL are 0 and 1")
    return binary


def _refuse_data(tensor: InputTensor, what: str) -> None:
    if memoryview(tensor.data):
        raise RequestError(f"{what} has data, and binary_data_size or shared_memory_region beside them")


def _check_bytes(nbytes: int, what: str, dtype: str, shape: tuple[int, ...]) -> None:
    need = dtype_of_name(dtype).nbytes(element_count(shape))
    if nbytes != need:
        raise RequestError(f"{what}: {nbytes} bytes of data, shape {format_shape(shape)} of {dtype} takes {need}")


def _check_strings(binary: memoryview, count: int, what: str) -> None:
    try:
        found = count_strings(binary)
    except ValueError as cause:
        raise RequestError(f"{what}: not valid BYTES data: {cause}") from cause
    if found != count:
        raise RequestError(f"{what}: {found} strings in its data, its shape holds {count}")


def _shared_outputs(request: InferRequest) -> dict[str, SharedPart]:
    """Output -> the part of a region where it is to be put."""
    parts = {output.name: shared_part(output.parameters, f"output {output.name}") for output in request.outputs}
    return {name: part for name, part in parts.items() if part is not None}


def _wanted(
    request: InferRequest, specs: Sequence[TensorSpec], shared: Mapping[str, SharedPart]
) -> tuple[tuple[str, ...] | None, frozenset[str]]:
    """The requested outputs, and which as binary data. What cannot be sent as JSON is refused before the model runs."""
    dtypes = {spec.name: spec.dtype for spec in specs}
    default = flag(request.parameters.binary_data_output, "binary_data_output", "the request") or False
    asked = dict.fromkeys(dtypes, default) if not request.outputs else {}
    for output in request.outputs:
        what = f"output {output.name}"
        if output.name not in dtypes:
            raise RequestError(f"{what} is unknown: the model gives {', '.join(dtypes)}")
        if output.name in asked:
            raise RequestError(f"{what} is asked for twice")
        refuse_extensions(output.parameters, what)
        own = flag(output.parameters.binary_data, "binary_data", what)
        asked[output.name] = default if own is None else own
    for name, binary in asked.items():
        if not binary and name not in shared and dtypes[name] not in JSON_TYPES:
            message = (
                f"output {name}: {dtypes[name]} has no JSON form in the protocol: ask for it with binary_data true"
            )
            raise RequestError(message)
    sent = frozenset(name for name, binary in asked.items() if binary and name not in shared)
    return tuple(asked) if request.outputs else None, sent
