"""Encodes an answer as a response; the protocol's metadata."""

from collections.abc import Mapping, Sequence

import msgspec

from mopar.gateway.http.decode import Inference
from mopar.gateway.http.jsondata import to_json_data
from mopar.gateway.http.messages import JSON, Chunk, Response
from mopar.types import RequestError, TensorSpec, TensorValue, dtype_of_name, oip_of

VERSION = "1"
"""The only version of a served model."""


def encode(
    model: str, inference: Inference, outputs: Sequence[TensorValue], max_json_bytes: int | None = None
) -> Response:
    """The response to ``inference``. Binary data are the outputs' own buffers, not copied.

    Args:
        model: its name.
        inference: the decoded request.
        outputs: the answer.
        max_json_bytes: of the answer's JSON; None for any size.

    Raises:
        RequestError: an output cannot be written as JSON, or is too large for it.
    """
    reply: dict[str, object] = {"model_name": model, "model_version": VERSION}
    if inference.id is not None:
        reply["id"] = inference.id
    text = bytearray(msgspec.json.encode(reply)[:-1])
    text += b',"outputs":['
    chunks: list[Chunk] = []
    for number, value in enumerate(outputs):
        text += b"," if number else b""
        if value.name in inference.shared:
            part = inference.shared[value.name]
            parameters: dict[str, object] = {
                "shared_memory_region": part.region,
                "shared_memory_offset": part.offset,
                "shared_memory_byte_size": value.nbytes,
            }
            text += msgspec.json.encode({**_heading(value), "parameters": parameters})
        elif value.name in inference.binary:
            chunks.append(value.data)
            counted = {"binary_data_size": memoryview(value.data).nbytes}
            text += msgspec.json.encode({**_heading(value), "parameters": counted})
        else:
            _add_data(text, value, max_json_bytes)
    text += b"]}"
    if not chunks:
        return Response(200, [text], JSON)
    headers = {"inference-header-content-length": str(len(text))}
    return Response(200, [text, *chunks], "application/octet-stream", headers)


def _heading(value: TensorValue) -> dict[str, object]:
    return {"name": value.name, "datatype": oip_of(dtype_of_name(value.dtype)), "shape": value.shape}


def _add_data(text: bytearray, value: TensorValue, max_json_bytes: int | None) -> None:
    text += msgspec.json.encode(_heading(value))[:-1]
    text += b',"data":'
    for piece in to_json_data(value):
        text += piece
        if max_json_bytes is not None and len(text) > max_json_bytes:
            raise RequestError(
                f"output {value.name} makes the answer's JSON longer than {max_json_bytes} bytes: "
                "ask for it with binary_data true"
            )
    text += b"}"


def metadata(
    model: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], parameters: Mapping[str, str | float]
) -> dict[str, object]:
    """A model's metadata; sizes that are not fixed show as -1. ``parameters`` are in it where there are any."""
    more = {"parameters": dict(parameters)} if parameters else {}
    return {
        "name": model,
        "versions": [VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [_tensor(spec) for spec in inputs],
        "outputs": [_tensor(spec) for spec in outputs],
        **more,
    }


def _tensor(spec: TensorSpec) -> dict[str, object]:
    # The protocol cannot express an unknown rank; one dimension of any size comes nearest.
    shape = [-1] if spec.shape is None else [dim if isinstance(dim, int) else -1 for dim in spec.shape]
    return {"name": spec.name, "datatype": oip_of(dtype_of_name(spec.dtype)), "shape": shape}
