"""Functions as Lambda would run them: the envelope's messages around ONNX Runtime, tensors in a bucket."""

import base64
from collections.abc import Mapping
from typing import Any

import boto3
import numpy as np
import onnxruntime as ort

from mopar.bundle import Bundle

_KINDS = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "INT32": np.int32, "BOOL": np.bool_}
_NAMES = {np.dtype(kind): name for name, kind in _KINDS.items()}


class Functions:
    """What a deployment's functions answer, by what Lambda knows them by, such as ``demo-f0``."""

    def __init__(self, bundle: Bundle, deployment: str) -> None:
        self._bundle = bundle
        self._deployment = deployment
        self._sessions: dict[str, ort.InferenceSession] = {}
        self.calls: list[tuple[str, str]] = []

    def __call__(self, name: str, qualifier: str, event: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append((name, qualifier))
        if "graph" not in event:
            return {"error": {"kind": "refused", "message": "no graph is named"}}
        inputs = {item["name"]: _array(item, event["store"]) for item in event["inputs"]}
        session = self._session(event["graph"])
        names = [item.name for item in session.get_outputs()]
        outputs = session.run(names, inputs)
        return {
            "outputs": [_entry(name, value, event["store"]) for name, value in zip(names, outputs, strict=True)],
            "held_ns": 2,
            "compute_ns": 1,
        }

    def _session(self, graph_id: str) -> ort.InferenceSession:
        if graph_id not in self._sessions:
            graph = next(graph for graph in self._bundle.manifest.graphs if graph.id == graph_id)
            self._sessions[graph_id] = ort.InferenceSession(str(self._bundle.root / graph.files[0].path))
        return self._sessions[graph_id]


def entry_of(name: str, value: "np.ndarray[Any, Any]") -> dict[str, Any]:
    """A tensor with its data in the message."""
    data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    return {"name": name, "datatype": _NAMES[value.dtype], "shape": list(value.shape), "data": data}


def array_of(entry: Mapping[str, Any], bucket: str) -> "np.ndarray[Any, Any]":
    """The tensor of an entry."""
    return _array(entry, {"bucket": bucket})


def _array(entry: Mapping[str, Any], store: Mapping[str, Any]) -> "np.ndarray[Any, Any]":
    if "object" in entry:
        found = boto3.client("s3").get_object(Bucket=store["bucket"], Key=entry["object"])
        data = found["Body"].read()
        if "offset" in entry:
            data = data[entry["offset"] : entry["offset"] + entry["bytes"]]
    else:
        data = base64.b64decode(entry["data"], validate=True)
    return np.frombuffer(data, _KINDS[entry["datatype"]]).reshape(entry["shape"])


def _entry(name: str, value: "np.ndarray[Any, Any]", store: Mapping[str, Any]) -> dict[str, Any]:
    made = entry_of(name, value)
    if value.nbytes > store["above_bytes"]:
        key = f"{store['prefix']}request/{name}"
        boto3.client("s3").put_object(Bucket=store["bucket"], Key=key, Body=value.tobytes())
        del made["data"]
        made["object"] = key
    return made
