"""Encoders and decoders as models of their own: to time them, and to see what they do to a tensor's values."""

import onnx_ir as ir

from mopar.codecs.codec import Code, Fitted
from mopar.codecs.nodes import Nodes
from mopar.codecs.registry import codec_of
from mopar.types import dtype_of_name

_OPSET = 17
_IR_VERSION = 8
_TENSOR = "t"


def coder_models(fitted: Fitted, opset: int = _OPSET) -> tuple[bytes, bytes]:
    """The encoder of a tensor, from it to its codes, and the decoder, as serialised ONNX models."""
    codec = codec_of(fitted.text)
    encoder, value = _graph(opset), _tensor(fitted)
    encoder.inputs.append(value)
    nodes = Nodes(encoder, "encoder")
    encoder.outputs.extend(codec.encode(nodes, value, fitted))
    encoder.extend(nodes.made)
    decoder = _graph(opset)
    sent = [_code(number, code) for number, code in enumerate(codec.codes(fitted, fitted.any_size(_TENSOR)))]
    decoder.inputs.extend(sent)
    nodes = Nodes(decoder, "decoder")
    decoder.outputs.append(codec.decode(nodes, sent, fitted))
    decoder.extend(nodes.made)
    return _serialised(encoder), _serialised(decoder)


def pair_model(fitted: Fitted, opset: int = _OPSET) -> bytes:
    """A model from a tensor to the tensor as its readers see it."""
    codec = codec_of(fitted.text)
    graph, value = _graph(opset), _tensor(fitted)
    graph.inputs.append(value)
    nodes = Nodes(graph, "pair")
    graph.outputs.append(codec.decode(nodes, codec.encode(nodes, value, fitted), fitted))
    graph.extend(nodes.made)
    return _serialised(graph)


def _graph(opset: int) -> ir.Graph:
    return ir.Graph([], [], nodes=[], opset_imports={"": opset}, name="codec")


def _tensor(fitted: Fitted) -> ir.Value:
    return ir.Value(name=_TENSOR, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([None] * fitted.rank))


def _code(number: int, code: Code) -> ir.Value:
    kind = ir.TensorType(ir.DataType(dtype_of_name(code.dtype).code))
    shape = None if code.shape is None else ir.Shape([None] * len(code.shape))
    return ir.Value(name=f"code{number}", type=kind, shape=shape)


def _serialised(graph: ir.Graph) -> bytes:
    data: bytes = ir.to_proto(ir.Model(graph, ir_version=_IR_VERSION)).SerializeToString()
    return data
