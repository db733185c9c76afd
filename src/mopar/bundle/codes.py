"""Encoders and decoders in a bundle's graphs: which tensors are sent encoded, and as what."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from mopar.bundle.sent_codecs import code_name, in_graphs
from mopar.codecs import Code, Fitted, codec_of
from mopar.codecs.nodes import Nodes
from mopar.types import BundleError, Plan, Share, TensorSpec, dtype_of_name

Codings = Mapping[str, Fitted]
"""Tensor -> its codec; the model's inputs have none."""


def encoded_tensors(plan: Plan, codings: Codings) -> dict[str, Fitted]:
    """The tensors of a plan that graphs read encoded. Raises BundleError where a codec was not fitted."""
    read = {source.tensor for call in plan.calls for item in call.inputs for source in item.sources}
    read = {name for name in read if name in plan.codecs and in_graphs(plan.codecs[name])}
    missing = [name for name in plan.codecs if name in read and name not in codings]
    if missing:
        raise BundleError(
            f"the plan encodes {missing[0]} with {plan.codecs[missing[0]]}, and the file of its codecs is not there: "
            "plan it again"
        )
    return {name: codings[name] for name in plan.codecs if name in read}


def of_share(codings: Codings, share: Share) -> Fitted:
    """What encodes and decodes a share of a tensor that has a codec.

    Raises:
        BundleError: the codec takes no such share.
    """
    fitted = codings[share.tensor]
    codec = codec_of(fitted.text)
    if share.summand or not (share.axis is None or share.axis in codec.share_axes(fitted)):
        what = "summands" if share.summand else f"shares along axis {share.axis}"
        raise BundleError(
            f"the plan encodes {what} of {share.tensor} with {fitted.text}, which takes none: plan it again"
        )
    return fitted if share.axis is None else codec.of_share(fitted, share.axis, share.start, share.stop)


def codes_of(fitted: Fitted, spec: TensorSpec) -> tuple[Code, ...]:
    """The tensors that an encoded one is sent as."""
    return codec_of(fitted.text).codes(fitted, spec)


def code_suffixes(codings: Codings) -> dict[str, tuple[str, ...]]:
    """The ends of the names of each encoded tensor's codes."""
    return {
        tensor: tuple(code.suffix for code in codes_of(fitted, fitted.any_size(tensor)))
        for tensor, fitted in codings.items()
    }


def encode_outputs(
    model: ir.Model, specs: Sequence[TensorSpec], codings: Codings, kept: frozenset[str]
) -> tuple[TensorSpec, ...]:
    """Have a graph end with the encoders of its outputs.

    Args:
        model: rewritten in place.
        specs: of its outputs, in order.
        codings: of those that are encoded.
        kept: names of those that are given as they are, too.

    Returns:
        Its outputs then, in order.

    Raises:
        BundleError: the graph's operators are too old for a codec.
    """
    graph = model.graph
    found: list[TensorSpec] = []
    outputs: list[ir.Value] = []
    by_name = {value.name: value for value in graph.outputs}
    for spec in specs:
        value = by_name[spec.name]
        if spec.name not in codings or spec.name in kept:
            found.append(spec)
            outputs.append(value)
        if spec.name not in codings:
            continue
        fitted = codings[spec.name]
        nodes = _nodes(graph, f"{spec.name}/encoder", fitted)
        codes = codec_of(fitted.text).encode(nodes, value, fitted)
        graph.extend(nodes.made)
        for code, made in zip(codes_of(fitted, spec), codes, strict=True):
            made.name = code_name(spec.name, code.suffix)
            found.append(code.spec(spec.name))
            outputs.append(made)
    graph.outputs[:] = outputs
    return tuple(found)


def decoder(graph: ir.Graph, tensor: str, fitted: Fitted) -> tuple[list[ir.Value], ir.Value, Nodes]:
    """The inputs that a graph takes in place of a tensor, the tensor decoded, and the decoder's nodes.

    Args:
        graph: that gets the constants, but not the nodes yet.
        tensor: name of the input.
        fitted: its codec.

    Raises:
        BundleError: the graph's operators are too old for the codec.
    """
    codec = codec_of(fitted.text)
    nodes = _nodes(graph, f"{tensor}/decoder", fitted)
    inputs = []
    for code in codec.codes(fitted, fitted.any_size(tensor)):
        declared = code.spec(tensor)
        value = ir.Value(name=declared.name, type=ir.TensorType(ir.DataType(dtype_of_name(code.dtype).code)))
        value.shape = None if code.shape is None else ir.Shape([None] * len(code.shape))
        inputs.append(value)
    return inputs, codec.decode(nodes, inputs, fitted), nodes


def _nodes(graph: ir.Graph, name: str, fitted: Fitted) -> Nodes:
    nodes, codec = Nodes(graph, name), codec_of(fitted.text)
    if nodes.opset < codec.least_opset:
        raise BundleError(
            f"codec {fitted.text} needs the operators of version {codec.least_opset}, and the model has {nodes.opset}: "
            "choose fp16, or convert the model (onnx.version_converter)"
        )
    return nodes
