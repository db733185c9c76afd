"""ONNX Runtime queried about a graph: whether it loads, what it fuses, which types it infers.

It is given a *skeleton*: the graph with every large weight replaced by zeros of the same shape,
all of which share the holes of one sparse file. So the answers cost neither memory nor disk in
proportion to the weights; the engine's fusions depend on shapes and on small constants only.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as _state

from mopar.engine.bounded import bounded_memory
from mopar.files import require_room, temporary_folder

ENGINE_ERRORS: tuple[type[Exception], ...] = (
    *(
        getattr(_state, name)
        for name in (
            "EPFail",
            "EngineError",
            "Fail",
            "InvalidArgument",
            "InvalidGraph",
            "InvalidProtobuf",
            "NoModel",
            "NoSuchFile",
            "NotImplemented",
            "RuntimeException",
        )
    ),
    RuntimeError,
)
"""What ONNX Runtime raises; its own exceptions have no common root."""

# Constants that decide a fusion (shapes, scales, zero points, epsilons) are far smaller than this.
_KEPT_BYTES = 1 << 16
_QUIET = 4
_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from \S+ failed:\s*"
    r"|Exception during loading: |\S*/onnxruntime/\S+ |[\w:]+ onnxruntime::[^ (]+\([^)]*\)(?: const)? "
)
_ZEROS = "zeros.bin"
_COPIES = 2
"""Of a weight, beside those that are mapped, where the engine fuses it with another."""
_TENSOR = re.compile(r"tensor\((\w+)\)")
_ELEMENTS = {"float": "FLOAT", "double": "DOUBLE"}


def load_error(model: ir.Model) -> Exception | None:
    """Why ONNX Runtime cannot load the model, as it says itself; None where it has a kernel for every node."""
    with skeleton(model) as path:
        options = _options(ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
        try:
            ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except ENGINE_ERRORS as cause:
            return cause
    return None


def optimised_form(model: ir.Model) -> ir.Model | None:
    """The graph as the engine would run it, weights left out; None where the engine refuses it."""
    with skeleton(model) as path:
        target = path.with_name("optimised.onnx")
        # The engine insists on writing its weights; nobody needs them.
        target.with_suffix(".data").symlink_to("/dev/null")
        options = _options(ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
        options.optimized_model_filepath = str(target)
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "optimised.data")
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
        try:
            ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            return ir.from_proto(onnx.load(target, format="protobuf", load_external_data=False))
        except ENGINE_ERRORS:
            # Refused, or (onnx-ir's own RuntimeError) written in a way that cannot be read back.
            return None


def engine_types(model: ir.Model, names: Sequence[str]) -> dict[str, tuple[ir.DataType, ir.Shape]]:
    """Types and shapes that the engine infers for tensors; those that it cannot tell are left out.

    It tells them of outputs only, so each tensor is made one for the occasion.
    """
    copy = model.clone()
    values = ir.convenience.create_value_mapping(copy.graph, include_subgraphs=False)
    known = set(copy.graph.outputs)
    copy.graph.outputs.extend(values[name] for name in names if values[name] not in known)
    with skeleton(copy) as path:
        options = _options(ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
        try:
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except ENGINE_ERRORS:
            return {}
    found: dict[str, tuple[ir.DataType, ir.Shape]] = {}
    for argument in session.get_outputs():
        element = _TENSOR.fullmatch(argument.type)
        if element is not None and argument.name in names:
            name = _ELEMENTS.get(element[1], element[1].upper())
            if name in ir.DataType.__members__:
                found[argument.name] = (ir.DataType[name], ir.Shape(argument.shape))
    return found


def _options(level: ort.GraphOptimizationLevel) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = _QUIET
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.disable_prepacking", "1")
    return options


@contextlib.contextmanager
def skeleton(model: ir.Model) -> Iterator[Path]:
    """The model as a file without its large weights, in a folder that vanishes.

    Within the block memory is bounded: the engine computes constants of any size when it loads a graph.
    """
    with temporary_folder("mopar-graph-") as folder:
        path = folder / "skeleton.onnx"
        size = max((_tensor_of(value).nbytes for value in _large_weights(model)), default=0)
        # Where the disk is memory, its holes are filled as they are read, and without room that is fatal.
        require_room(path.parent, size)
        with (path.parent / _ZEROS).open("wb") as zeros:
            zeros.truncate(size)
        path.write_bytes(skeleton_proto(model).SerializeToString())
        with bounded_memory(_COPIES * sum(_tensor_of(value).nbytes for value in _large_weights(model))):
            yield path


def skeleton_proto(model: ir.Model) -> onnx.ModelProto:
    """The model without its large weights: their types and shapes stand, their data is a hole."""
    copy = model.clone()
    large = set(_large_weights(copy))
    for value in copy.graph.initializers.values():
        tensor = _tensor_of(value)
        value.const_value = _hole(tensor, str(value.name)) if value in large else _in_memory(tensor)
    return ir.to_proto(copy)


def _large_weights(model: ir.Model) -> list[ir.Value]:
    return [
        value
        for value in model.graph.initializers.values()
        if value.const_value is not None
        and value.const_value.nbytes > _KEPT_BYTES
        and value.const_value.dtype != ir.DataType.STRING
    ]


def _tensor_of(value: ir.Value) -> ir.TensorProtocol:
    tensor = value.const_value
    assert tensor is not None, f"initializer {value.name} has no data"
    return tensor


def _hole(tensor: ir.TensorProtocol, name: str) -> ir.ExternalTensor:
    shape = tensor.shape
    assert isinstance(shape, ir.Shape)
    return ir.ExternalTensor(_ZEROS, 0, tensor.nbytes, tensor.dtype, shape=shape, name=name)


def _in_memory(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    if not isinstance(tensor, ir.ExternalTensor):
        return tensor
    return ir.Tensor(np.array(tensor.numpy()), dtype=tensor.dtype, name=tensor.name)


def engine_reason(error: BaseException) -> str:
    """What the engine says, in one line, without the places in its own code."""
    return _NOISE.sub("", " ".join(str(error).split())) or type(error).__name__
