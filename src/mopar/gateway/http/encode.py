"""From an answer to a response, and the protocol's metadata."""

from collections.abc import Sequence

import msgspec

from mopar.gateway.arrays import oip_of
from mopar.gateway.http.decode import Inference
from mopar.gateway.http.jsondata import to_json_data
from mopar.gateway.http.messages import JSON, Chunk, Response
from mopar.types import TensorSpec, TensorValue, dtype_of_name

VERSION = "1"
"""The only version of a served model."""


def encode(model: str, inference: Inference, outputs: Sequence[TensorValue]) -> Response:
    """The response to ``inference``. Binary data are the outputs' own buffers, not copied.

    Raises:
        RequestError: an output cannot be written as JSON.
    """
    tensors: list[dict[str, object]] = []
    chunks: list[Chunk] = []
    for value in outputs:
        tensor: dict[str, object] = {
            "name": value.name,
            "datatype": oip_of(dtype_of_name(value.dtype)),
            "shape": value.shape,
        }
        if value.name in inference.binary:
            chunks.append(value.data)
            tensor["parameters"] = {"binary_data_size": memoryview(value.data).nbytes}
        else:
            tensor["data"] = msgspec.Raw(to_json_data(value))
        tensors.append(tensor)
    reply: dict[str, object] = {"model_name": model, "model_version": VERSION, "outputs": tensors}
    if inference.id is not None:
        reply["id"] = inference.id
    head = msgspec.json.encode(reply)
    if not chunks:
        return Response(200, [head], JSON)
    headers = {"inference-header-content-length": str(len(head))}
    return Response(200, [head, *chunks], "application/octet-stream", headers)


def metadata(model: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, object]:
    """A model's metadata; sizes that are not fixed show as -1."""
    return {
        "name": model,
        "versions": [VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [_tensor(spec) for spec in inputs],
        "outputs": [_tensor(spec) for spec in outputs],
    }


def _tensor(spec: TensorSpec) -> dict[str, object]:
    # The protocol has no word for an unknown rank; one free dimension comes nearest.
    shape = [-1] if spec.shape is None else [dim if isinstance(dim, int) else -1 for dim in spec.shape]
    return {"name": spec.name, "datatype": oip_of(dtype_of_name(spec.dtype)), "shape": shape}
