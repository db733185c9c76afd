"""The oracle of every rule: parts that run separately, combined, equal the unsplit operator."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from mopar.sharding import SUMMAND, WHOLE, Part, Piece, even_spans, shard_model

Array = npt.NDArray[np.generic]
OPSET = 21


def node_model(
    node: onnx.NodeProto | list[onnx.NodeProto],
    inputs: Mapping[str, Array],
    weights: Mapping[str, Array],
    outputs: Mapping[str, int] | None = None,
    *,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """A model of one node or a few, with shapes inferred.

    Args:
        node: or nodes, in topological order.
        inputs: values of the model's inputs.
        weights: values of its initializers.
        outputs: names and element types; by default the last node's, as float.
        opset: of the standard operators.
    """
    nodes = node if isinstance(node, list) else [node]
    wanted = outputs or dict.fromkeys((name for name in nodes[-1].output if name), TensorProto.FLOAT)
    graph = helper.make_graph(
        nodes,
        "case",
        [_info(name, value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in wanted.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    _complete(inferred, inputs)
    onnx.checker.check_model(inferred)
    return inferred


def _complete(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> None:
    """Where ONNX does not know an output's shape, take it from the engine's outputs for these inputs."""
    unknown = [value for value in model.graph.output if not value.type.tensor_type.HasField("shape")]
    made = run(model, inputs) if unknown else {}
    for value in unknown:
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind, made[value.name].shape))


def _info(name: str, value: Array) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def run(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs by name."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    taken = {item.name: inputs[item.name] for item in session.get_inputs()}
    return dict(zip(names, session.run(names, taken), strict=True))


def cut(array: Array, piece: Piece) -> Array:
    """A piece of an array."""
    if piece.axis is None:
        return array
    return np.concatenate(
        [np.take(array, np.arange(start, stop), axis=piece.axis) for start, stop in piece.spans], axis=piece.axis
    )


def run_part(
    model: onnx.ModelProto, inputs: Mapping[str, Array], wanted: Mapping[str, Piece], part: Part
) -> tuple[dict[str, Array], onnx.ModelProto]:
    """Outputs of one part for its pieces of the inputs, and its model."""
    sharded = ir.from_proto(model)
    taken = shard_model(sharded, wanted, part)
    proto = ir.to_proto(sharded)
    return run(proto, {name: cut(inputs[name], piece) for name, piece in taken.items()}), proto


def check_split(
    model: onnx.ModelProto,
    inputs: Mapping[str, Array],
    axis: int,
    parts: int,
    *,
    output: str | None = None,
    rtol: float = 2e-5,
) -> list[onnx.ModelProto]:
    """Check that each part's rows of one output equal the unsplit operator's; return the parts' models."""
    whole = run(model, inputs)
    name = output or next(iter(whole))
    models = []
    spans = even_spans(whole[name].shape[axis], parts)
    for index, span in enumerate(spans):
        piece = Piece(axis, (span,))
        got, proto = run_part(model, inputs, {name: piece}, Part(index, len(spans)))
        _same(got[name], cut(whole[name], piece), rtol)
        models.append(proto)
    return models


def check_sum(
    model: onnx.ModelProto, inputs: Mapping[str, Array], parts: int, *, output: str | None = None, rtol: float = 2e-5
) -> list[onnx.ModelProto]:
    """Check that the parts' summands of one output add up to it. Raises ConflictError where there can be none."""
    whole = run(model, inputs)
    name = output or next(iter(whole))
    total, models = np.zeros(whole[name].shape), []
    for index in range(parts):
        got, proto = run_part(model, inputs, {name: SUMMAND}, Part(index, parts))
        assert got[name].shape == whole[name].shape
        total += got[name].astype(np.float64)
        models.append(proto)
    _same(total.astype(whole[name].dtype), whole[name], rtol)
    return models


def check_whole(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> None:
    """Check that a part with whole outputs computes the unsplit operator."""
    whole = run(model, inputs)
    got, _ = run_part(model, inputs, dict.fromkeys(whole, WHOLE), Part(0, 1))
    for name, value in whole.items():
        _same(got[name], value, 2e-5)


def weight_bytes(model: onnx.ModelProto) -> int:
    """Bytes of a model's initializers."""
    return sum(numpy_helper.to_array(item).nbytes for item in model.graph.initializer)


def _same(got: Array, want: Array, rtol: float) -> None:
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    if np.issubdtype(want.dtype, np.floating):
        scale = max(float(np.abs(want).max(initial=0.0)), 1e-6)
        assert float(np.abs(got.astype(np.float64) - want.astype(np.float64)).max(initial=0.0)) <= rtol * scale
    else:
        np.testing.assert_array_equal(got, want)
