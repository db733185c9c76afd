"""Large matrices that meet a single row stay as they are: the engine reads them where they lie in the file.

Packing a matrix pays where many rows meet it. One row reads each weight once either way, and packing costs memory: to
find a packed copy in the file, the engine packs the weight anew while it loads, so a function has to have room for its
largest weight twice.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import onnx

from mopar.engine.packed import PACKED_KEY, StoredWeight, inner_nodes, stored_weights

_LEAST_BYTES = 32 << 20
"""Beyond a core's caches: of a few MiB, packed ones were seen to be up to a fifth quicker for one row too."""
MATRIX_PRODUCTS = frozenset({"MatMul", "Gemm", "FusedMatMul", "FusedGemm"})


def stays_plain(rows: int | None, weight_bytes: int) -> bool:
    """Whether a matrix of ``weight_bytes`` that ``rows`` rows are multiplied by is read as it is; None: any number."""
    return rows == 1 and weight_bytes >= _LEAST_BYTES


def leave_plain(optimised: Path) -> None:
    """Take the packed copies of such matrices out of an optimised graph; the bytes of its weights are left alone.

    An initializer that is an input of the graph too is no constant to the engine, which then does not pack it. Callers
    need not name it: its value is the initializer's.

    Raises:
        EngineError: a packed weight's record is not of the form that is known.
    """
    sizes = {weight.name: weight.bytes for weight in stored_weights(optimised) if _packed_for_products(weight)}
    if not any(stays_plain(1, size) for size in sizes.values()):
        return
    model = onnx.load(optimised, load_external_data=False)
    rows = _rows_of_weights(model.graph)
    plain = [
        tensor
        for tensor in model.graph.initializer
        if tensor.name in sizes
        and all(stays_plain(count, sizes[tensor.name]) for count in rows.get(tensor.name, [None]))
    ]
    for tensor in plain:
        kept = [entry for entry in tensor.external_data if not entry.key.startswith(PACKED_KEY)]
        del tensor.external_data[:]
        tensor.external_data.extend(kept)
        model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    if plain:
        onnx.save(model, optimised)


def _packed_for_products(weight: StoredWeight) -> bool:
    """Whether a weight is packed, and for nothing but matrix products."""
    packers = {operator for operator, _ in weight.packed}
    return bool(packers) and packers <= MATRIX_PRODUCTS


def _rows_of_weights(graph: onnx.GraphProto) -> Mapping[str, list[int | None]]:
    """By the name of what each matrix product multiplies by: rows of what it multiplies; None where it is not known."""
    shapes = {value.name: _dims(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    rows: dict[str, list[int | None]] = {}
    for node in graph.node:
        if node.op_type in MATRIX_PRODUCTS:
            rows.setdefault(node.input[1], []).append(_rows(node, shapes.get(node.input[0])))
        for inner in inner_nodes(node):
            for name in inner.input:
                rows.setdefault(name, []).append(None)
    return rows


def _rows(node: onnx.NodeProto, shape: tuple[int, ...] | None) -> int | None:
    if not shape or any(attribute.name in {"transA", "transBatchA"} and attribute.i for attribute in node.attribute):
        return None
    return math.prod(shape[:-1])


def _dims(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    """A tensor's shape; None unless every dimension is a number."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value for dim in dims) if all(dim.HasField("dim_value") for dim in dims) else None
