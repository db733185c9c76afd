"""Graphs on which call costs are measured, in one function and in several."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from mopar.bundle import Bundle
from mopar.gateway.arrays import Array
from mopar.graph import save_model
from mopar.measurement.single import chain_bundle
from mopar.types import PACKED_OPTIONS, TensorSpec

STAGES, ROWS, WIDTH = 4, 128, 640
MIB_PER_FLOAT = 4 / (1 << 20)


def elementwise(root: Path, size: int) -> tuple[Bundle, Bundle]:
    """The same two operators in one function, and in two: what a tensor's size adds."""
    spec = TensorSpec("x", "float32", (size,))
    return _split(root, f"elementwise{size}", spec, [[("Abs", None)], [("Neg", None)]])


def working(root: Path, cache_mib: float) -> tuple[Bundle, Bundle]:
    """Matrix products whose weights fill the last cache twice, and an operator that does next to nothing.

    All in one function, and in several with the same number of products, the operator in the last by itself. A function
    that computes pays more for a call than an idle loop does: its caches are cold, and between two calls both its core
    and the gateway's have entered an idle state that they have to be woken from.
    """
    columns = int(cache_mib / STAGES / MIB_PER_FLOAT / WIDTH)
    stages: list[list[tuple[str, Array | None]]] = [
        [("MatMul", _weight(WIDTH, columns)), ("Relu", None), ("MatMul", _weight(columns, WIDTH)), ("Relu", None)]
        for _ in range(STAGES)
    ]
    return _split(root, "working", TensorSpec("x", "float32", (ROWS, WIDTH)), [*stages, [("Neg", None)]])


def _weight(rows: int, columns: int) -> Array:
    return np.full((rows, columns), 1 / rows, dtype=np.float32)


def _split(
    root: Path, name: str, spec: TensorSpec, stages: list[list[tuple[str, Array | None]]]
) -> tuple[Bundle, Bundle]:
    """Stages as one function, and as one function each; all tensors between them are of the same shape."""
    specs = [replace(spec, name=f"t{i}") for i in range(len(stages) + 1)]
    whole = _write(root, f"{name}-whole", specs[0], specs[-1], [operator for stage in stages for operator in stage])
    parts = tuple(_write(root, f"{name}-part{i}", specs[i], specs[i + 1], stage) for i, stage in enumerate(stages))
    one = chain_bundle("costs", (whole,), ((specs[0],), (specs[-1],)), PACKED_OPTIONS)
    return one, chain_bundle("costs", parts, tuple((item,) for item in specs), PACKED_OPTIONS)


def _write(
    root: Path, name: str, first: TensorSpec, last: TensorSpec, operators: list[tuple[str, Array | None]]
) -> tuple[Path, ...]:
    shape = list(first.shape or ())
    value = head = ir.Value(name=first.name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))
    nodes, weights = [], []
    for i, (operator, weight) in enumerate(operators):
        inputs = [value]
        if weight is not None:
            weights.append(ir.Value(name=f"w{i}", const_value=ir.tensor(weight, name=f"w{i}")))
            inputs.append(weights[-1])
            shape[-1] = weight.shape[-1]
        label = last.name if i == len(operators) - 1 else f"{name}{i}"
        value = ir.Value(name=label, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(shape))
        nodes.append(ir.Node("", operator, inputs, outputs=[value], name=f"{operator}{i}"))
    graph = ir.Graph([head], [value], nodes=nodes, initializers=weights, opset_imports={"": 17}, name=name)
    return save_model(ir.Model(graph, ir_version=8), root / f"{name}.onnx")
