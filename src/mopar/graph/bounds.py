"""Size checks of an ONNX file before it is processed: a few bytes can describe more than any machine can hold.

Nodes are counted as if functions were inlined, subgraphs have a limit of depth, and tensors must contain as many
elements as they declare. Everything else that a model contains is bounded by the size of its file.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

import onnx

from mopar.types import ModelError, dtype_of_code

MOST_NODES = 1 << 18
"""Most nodes after inlining functions: fifty times those of the largest model that mopar was tested with."""
_DEEPEST_BODY = 12
"""Deepest nesting of If, Loop and Scan; the engine's time doubles with each level."""
_HIGHEST_RANK = 64
_MOST_SPARSE_ELEMENTS = 1 << 28
"""Most elements of a sparse tensor, which the engine converts to a dense one."""
_BITS_OF_A_BYTE = 8

_Function = tuple[str, str, str]
"""Identifier of a function: domain, name and overload."""


@dataclass(slots=True)
class _Counted:
    """Counts of a graph or function: its nodes (those of subgraphs included) and the operators that they call."""

    nodes: int = 0
    calls: Counter[_Function] = field(default_factory=Counter)


def check_bounds(model: onnx.ModelProto, what: str) -> None:
    """Check that a model can be processed in bounded time and memory.

    Raises:
        ModelError: a function calls itself, there are too many nodes after inlining, subgraphs are nested too deeply,
            a tensor contains fewer elements than it declares, or an input or output has a negative size. The message
            begins with ``what``.
    """
    try:
        _check_sizes(model.graph)
        counted = _count(model.graph.node, model.graph, 0)
        inner = {(each.domain, each.name, each.overload): _count(each.node, None, 0) for each in model.functions}
        for function in model.functions:
            for attribute in function.attribute_proto:
                _check_tensors(attribute)
        _check_total(counted, inner)
    except CycleError as cause:
        name = cause.args[1][0]
        raise ModelError(f"{what}: the function {name[0]}::{name[1]} calls itself, directly or by others") from cause
    except ModelError as cause:
        raise ModelError(f"{what}: {cause}") from cause


def _check_total(counted: _Counted, functions: dict[_Function, _Counted]) -> None:
    """Count the nodes once all functions are inlined. Raises CycleError, ModelError."""
    calls = {name: [callee for callee in each.calls if callee in functions] for name, each in functions.items()}
    sizes: dict[_Function, int] = {}
    for name in TopologicalSorter(calls).static_order():
        sizes[name] = _inlined(functions[name], sizes)
    if _inlined(counted, sizes) > MOST_NODES:
        raise ModelError(f"it has more than {MOST_NODES} nodes once its functions are inlined")


def _inlined(counted: _Counted, sizes: dict[_Function, int]) -> int:
    more = sum(count * sizes[name] for name, count in counted.calls.items() if name in sizes)
    return min(counted.nodes + more, MOST_NODES + 1)


def _count(nodes: Iterable[onnx.NodeProto], graph: onnx.GraphProto | None, depth: int) -> _Counted:
    if depth > _DEEPEST_BODY:
        raise ModelError(f"bodies lie more than {_DEEPEST_BODY} deep in each other")
    for tensor in graph.initializer if graph is not None else ():
        _check_tensor(tensor)
    for sparse in graph.sparse_initializer if graph is not None else ():
        _check_sparse(sparse)
    found = _Counted()
    for node in nodes:
        found.nodes += 1
        found.calls[node.domain, node.op_type, node.overload] += 1
        for attribute in node.attribute:
            _check_tensors(attribute)
            for body in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                inner = _count(body.node, body, depth + 1)
                found.nodes += inner.nodes
                found.calls += inner.calls
    return found


def _check_tensors(attribute: onnx.AttributeProto) -> None:
    for tensor in (*([attribute.t] if attribute.HasField("t") else ()), *attribute.tensors):
        _check_tensor(tensor)
    sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
    for each in (*sparse, *attribute.sparse_tensors):
        _check_sparse(each)


def _check_sparse(tensor: onnx.SparseTensorProto) -> None:
    _check_tensor(tensor.values)
    _check_tensor(tensor.indices)
    if _elements(tensor.dims, tensor.values.name) > _MOST_SPARSE_ELEMENTS:
        raise ModelError(f"the sparse tensor {tensor.values.name!r} says to have more elements than can be held")


def _check_tensor(tensor: onnx.TensorProto) -> None:
    """Check that a tensor contains the elements that it declares; for external data, that its size is valid."""
    count = _elements(tensor.dims, tensor.name)
    try:
        dtype = dtype_of_code(tensor.data_type)
    except KeyError:
        return  # reading the file checks its length
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return
    if tensor.HasField("raw_data") and dtype.bits:
        brought = len(tensor.raw_data) * _BITS_OF_A_BYTE // dtype.bits
    else:
        brought = max(len(values) for values in _typed(tensor))
        # Two 4-bit elements are packed into one byte.
        brought *= 2 if 0 < dtype.bits < _BITS_OF_A_BYTE else 1
    if count > brought:
        raise ModelError(f"the tensor {tensor.name!r} says to have {count} elements and brings {brought}")


def _typed(tensor: onnx.TensorProto) -> tuple[Sequence[object], ...]:
    return (
        tensor.float_data,
        tensor.int32_data,
        tensor.string_data,
        tensor.int64_data,
        tensor.double_data,
        tensor.uint64_data,
    )


def _elements(dims: Sequence[int], name: str) -> int:
    if len(dims) > _HIGHEST_RANK:
        raise ModelError(f"the tensor {name!r} has {len(dims)} dimensions")
    if any(dim < 0 for dim in dims):
        raise ModelError(f"the tensor {name!r} has a negative dimension")
    return math.prod(dims)


def _check_sizes(graph: onnx.GraphProto) -> None:
    for kind, values in (("input", graph.input), ("output", graph.output)):
        for value in values:
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_value < 0:
                    raise ModelError(
                        f"the {kind} {value.name!r} has a dimension of {dim.dim_value}: export the model again, with a "
                        "name for what may vary"
                    )
