"""Lowers a plan's calls to the form that workers run: every input is one contiguous range of bytes.

A call's input may be a region of a tensor, or several tensors joined. Where a region is contiguous in
memory, the worker reads it in place; anything else becomes nodes at the start of the consumer's graph,
so that no other process has to copy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from mopar.bundle.calls import AS_THEY_ARE, Sending, assembled_inputs, form_of, part_name
from mopar.bundle.codes import Codings, decoder, of_share
from mopar.bundle.form import Form, FormInput
from mopar.types import BundleError, Call, CallInput, Region, TensorSpec, dtype_of_name, format_shape

_SLICE_TAKES_INPUTS = 10
"""The opset from which on Slice takes its bounds as inputs; before, they were attributes."""

_BITS_OF_A_BYTE = 8


@dataclass(frozen=True, slots=True)
class LoweredCall:
    """A call whose inputs have one source each, and the form: the inputs that its graph must assemble or decode."""

    call: Call
    form: Form


def lower_call(call: Call, specs: Mapping[str, TensorSpec], sending: Sending = AS_THEY_ARE) -> LoweredCall:
    """Split joined inputs into one input per source, and encoded ones into their codes.

    Args:
        call: a call of a plan.
        specs: the graph's tensors by name.
        sending: how the plan's tensors are sent.

    Returns:
        The call with plain inputs; ``form`` lists the inputs that ``apply_form`` must rewrite.

    Raises:
        BundleError: a region is empty, its axis does not exist, or its size is not the one that the graph declares.
    """
    inputs: list[CallInput] = []
    form: list[FormInput] = []
    for item in call.inputs:
        for source in item.sources:
            _check_region(source.region, specs[item.tensor], whole=item.combine == "none")
        in_place = item.combine == "none" and _contiguous(item.sources[0].region, specs[item.tensor])
        if in_place and sending.in_place(item.sources[0]):
            inputs.append(item)
            continue
        form.append(form_of(item, sending))
        inputs += assembled_inputs(item, sending.codes)
    plain = Call(call.id, call.function, call.graph, tuple(inputs), call.outputs)
    return LoweredCall(plain, tuple(form))


def apply_form(model: ir.Model, form: Form, codings: Codings = MappingProxyType({})) -> None:
    """Rewrite a graph's inputs in place: codes are decoded, regions become Slice, joins become Concat or Sum.

    Raises:
        BundleError: the graph has no such input, ``combine`` is unknown, or its operators are too old for a codec.
    """
    graph = model.graph
    by_name = {value.name: value for value in graph.inputs}
    for item in form:
        value = by_name.get(item.tensor)
        if value is None:
            raise BundleError(f"{item.tensor} is no input of graph {graph.name}")
        parts = [_part(graph, value, item, index, codings) for index in range(len(item.sources))]
        joined = _join(graph, item, parts)
        if joined.producer() is not None:
            joined.shape = value.shape
        value.replace_all_uses_with(joined)
        position = list(graph.inputs).index(value)
        graph.inputs[position : position + 1] = [part for taken, _ in parts for part in taken]


def _part(
    graph: ir.Graph, value: ir.Value, item: FormInput, index: int, codings: Codings
) -> tuple[list[ir.Value], ir.Value]:
    """Make the graph inputs for one source; returns them and the region of the tensor that is used."""
    source = item.sources[index]
    region = source.region
    rank = len(value.shape) if value.shape is not None else None
    shape = None if rank is None else ir.Shape([None] * rank)
    name = part_name(item.tensor, index)
    if source.encoded is not None:
        inputs, part, nodes = decoder(graph, name, of_share(codings, source.encoded))
        _place_first(graph, nodes.made)
    else:
        part = ir.Value(name=name, type=value.type, shape=shape)
        inputs = [part]
    if region is None:
        return inputs, part
    bounds = {"starts": region.start, "ends": region.stop, "axes": region.axis}
    name = f"{part.name}/region"
    if graph.opset_imports.get("", 1) < _SLICE_TAKES_INPUTS:
        lists = [ir.AttrInt64s(key, [bound]) for key, bound in bounds.items()]
        return inputs, _prepend(graph, "Slice", [part], name, value.type, lists)
    constants = [_constant(graph, f"{part.name}/{key}", np.array([bound])) for key, bound in bounds.items()]
    return inputs, _prepend(graph, "Slice", [part, *constants], name, value.type)


def _join(graph: ir.Graph, item: FormInput, parts: list[tuple[list[ir.Value], ir.Value]]) -> ir.Value:
    taken = [value for _, value in parts]
    if item.combine == "none":
        return taken[0]
    name = f"{item.tensor}/{item.combine}"
    if item.combine == "concat" and item.axis is not None:
        return _prepend(graph, "Concat", taken, name, taken[0].type, [ir.AttrInt64("axis", item.axis)])
    if item.combine == "sum":
        return _prepend(graph, "Sum", taken, name, taken[0].type)
    raise BundleError(f"{item.tensor}: unknown way to combine sources: {item.combine}")


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value


def _prepend(
    graph: ir.Graph,
    op_type: str,
    inputs: list[ir.Value],
    name: str,
    kind: ir.TypeProtocol | None,
    attributes: Sequence[ir.Attr] = (),
) -> ir.Value:
    node = ir.Node("", op_type, inputs, attributes, name=name)
    node.outputs[0].name = name
    node.outputs[0].type = kind
    _place_first(graph, [node])
    return node.outputs[0]


def _place_first(graph: ir.Graph, nodes: Sequence[ir.Node]) -> None:
    """Put nodes at the beginning, after those that were put there earlier: a join follows its regions and decoders."""
    ours = [node for node in graph if node.metadata_props.get("mopar.form")]
    for node in nodes:
        node.metadata_props["mopar.form"] = "1"
    if ours:
        graph.insert_after(ours[-1], nodes)
    elif len(graph):
        graph.insert_before(graph[0], nodes)
    else:
        graph.extend(nodes)


def _contiguous(region: Region | None, spec: TensorSpec) -> bool:
    if region is None:
        return True
    # Elements of strings vary in size, those of 4 bits share bytes.
    if spec.shape is None or dtype_of_name(spec.dtype).bits < _BITS_OF_A_BYTE:
        return False
    return region.axis >= 0 and all(dim == 1 for dim in spec.shape[: region.axis])


def _check_region(region: Region | None, spec: TensorSpec, *, whole: bool) -> None:
    """Check a region of ``spec``; ``whole`` says that it is the input's only source."""
    if region is None:
        return
    if not 0 <= region.start < region.stop:
        raise BundleError(f"{spec.name}: there is no region from {region.start} to {region.stop}")
    if spec.shape is not None and not 0 <= region.axis < len(spec.shape):
        raise BundleError(f"{spec.name}: it has no axis {region.axis}: it is {format_shape(spec.shape)}")
    taken = None if spec.shape is None else spec.shape[region.axis]
    if whole and isinstance(taken, int) and taken != region.stop - region.start:
        raise BundleError(
            f"{spec.name}: a graph takes {taken} elements along axis {region.axis}, not {region.stop - region.start}"
        )
