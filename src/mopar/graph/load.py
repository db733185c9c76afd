"""Reads an ONNX file and brings it into canonical form."""

import os
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from mopar.files import open_regular
from mopar.graph.bounds import check_bounds
from mopar.graph.canonical import canonicalise
from mopar.graph.external import check_external, graph_sha256, sha256_of_files
from mopar.graph.model import Model, required_spec
from mopar.graph.order import sort_into_runs
from mopar.types import ModelError, TensorSpec

_PROTOBUF_LIMIT_BYTES = (1 << 31) - 1
_INVALID = (
    ir.passes.PassError,
    ir.serde.SerdeError,
    AttributeError,
    IndexError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Exceptions that onnx-ir raises on invalid graphs, depending on which check fails first."""
_ML_DOMAIN = "ai.onnx.ml"
_COUNTED = {"bool", "int16", "int32", "int64", "string", "uint16", "uint32", "uint64"}
"""Element types of shape constants, indices and labels, which are not counted as parameters."""


def load_model(path: Path) -> Model:
    """Read an ONNX file and bring it into canonical form.

    Weights in external files stay there and are mapped when read. The engine optimises the graph once,
    without its weights, to find which nodes it fuses; ``Model.nodes`` keeps these together.

    Raises:
        ModelError: the file or one of its external files is missing, is not an ONNX file, is outside of
            the model's folder, or does not contain a valid graph of tensors.
    """
    model = _read(path)
    try:
        return _canonical(model, path)
    except _INVALID as cause:
        raise ModelError(f"{path}: the graph is not valid: {_first_line(cause)}") from cause


def read_interface(path: Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of an ONNX file as declared in it; weights are not read.

    Raises:
        ModelError: the file is missing, is not an ONNX file, or an input or output is not a tensor.
    """
    graph = _read(path).graph
    return (
        tuple(required_spec(value, f"{path.name}: the input") for value in graph.inputs),
        tuple(required_spec(value, f"{path.name}: the output") for value in graph.outputs),
    )


def _canonical(model: ir.Model, path: Path) -> Model:
    files = check_external(model, path)
    canonicalise(model, path.name)
    if not len(model.graph):
        raise ModelError(f"{path}: it has no nodes: there is nothing to run")
    runs = sort_into_runs(model)
    graph = model.graph
    weights = [value.const_value for value in graph.initializers.values() if value.const_value is not None]
    return Model(
        name=path.stem,
        path=path,
        files=(path, *files),
        sha256=sha256_of_files((path, *files)),
        graph_sha256=graph_sha256(model, runs),
        ir=model,
        inputs=tuple(required_spec(value, f"{path.name}: the input") for value in graph.inputs),
        outputs=tuple(required_spec(value, f"{path.name}: the output") for value in graph.outputs),
        nodes=tuple(graph),
        runs=runs,
        opset=graph.opset_imports.get("", 0),
        parameters=sum(weight.size for weight in weights if weight.dtype.name.lower() not in _COUNTED),
        weight_bytes=sum(weight.nbytes for weight in weights),
    )


def _read(path: Path) -> ir.Model:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > _PROTOBUF_LIMIT_BYTES:
                raise ModelError(
                    f"{path}: {size} bytes in one file, more than ONNX allows; save its weights as external data"
                )
            proto = onnx.load(file, format="protobuf", load_external_data=False)
    except OSError as cause:
        raise ModelError(f"{path}: {cause.strerror or cause}") from cause
    except DecodeError as cause:
        raise ModelError(f"{path}: not an ONNX file, or cut short; export or fetch it again") from cause
    if not proto.ir_version or not proto.HasField("graph") or not proto.graph.output:
        raise ModelError(f"{path}: not an ONNX file, or one without a graph that has outputs; export it again")
    _check_maps(proto.graph, path)
    check_bounds(proto, str(path))
    try:
        model = ir.from_proto(proto)
    except _INVALID as cause:
        raise ModelError(f"{path}: the graph cannot be read: {_first_line(cause)}") from cause
    ir.external_data.set_base_dir(model.graph, path.absolute().parent)
    return model


def _check_maps(graph: onnx.GraphProto, path: Path) -> None:
    """Raise ModelError where a map crosses the graph's boundary, as in classifiers of scikit-learn's converters."""
    for node in graph.node:
        if node.op_type == "ZipMap" and node.domain == _ML_DOMAIN:
            raise ModelError(
                f"{path}: the output {node.output[0]!r} is a sequence of maps, made by ZipMap, and only tensors can be "
                "served; convert the model again with options={'zipmap': False} (of skl2onnx: "
                "options={id(model): {'zipmap': False}})"
            )
    for what, values in (("input", graph.input), ("output", graph.output)):
        for value in values:
            if value.type.HasField("map_type") or value.type.sequence_type.elem_type.HasField("map_type"):
                raise ModelError(f"{path}: the {what} {value.name!r} holds maps, and only tensors can be served")


def _first_line(cause: BaseException) -> str:
    root = cause
    while root.__cause__ is not None:
        root = root.__cause__
    return (str(root) or type(root).__name__).splitlines()[0]
