"""A model in canonical form."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir
import onnx_ir as ir

from mopar.nodes import name_of
from mopar.types import Dim, ModelError, StatedShape, TensorSpec, dtype_of_code


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model in canonical form.

    Attributes:
        name: the file's stem.
        path: the ONNX file that it was read from.
        files: that file, then its external data files.
        sha256: digest of ``files``.
        graph_sha256: digest of the canonical form, weights included; the same in every process
            with the same engine on the same kind of CPU.
        ir: the canonical form; weights in external files stay there and are mapped when read.
        inputs: inputs of a request, with symbolic dimensions; ``outputs`` likewise.
        nodes: the nodes of the canonical graph in topological order.
        runs: names of the same nodes, grouped into the runs that become layers.
        opset: version of the standard operators.
        parameters: number of parameters, a shared weight once; integer shape constants are not included.
        weight_bytes: bytes of all weights, a shared weight once.
        stated: input shapes that were stated when the model was loaded, by input.
    """

    name: str
    path: Path
    files: tuple[Path, ...]
    sha256: str
    graph_sha256: str
    ir: onnx_ir.Model
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    nodes: tuple[onnx_ir.Node, ...]
    runs: tuple[tuple[str, ...], ...]
    opset: int
    parameters: int
    weight_bytes: int
    stated: Mapping[str, StatedShape] = field(default_factory=dict)


def spec_of(value: ir.Value) -> TensorSpec | None:
    """The declaration of a tensor; None for sequences, optionals and values of unknown element type."""
    if not isinstance(value.type, ir.TensorType):
        return None
    try:
        dtype = dtype_of_code(int(value.type.dtype))
    except KeyError:
        return None
    return TensorSpec(name_of(value), dtype.name, _dims_of(value.shape))


def required_spec(value: ir.Value, what: str) -> TensorSpec:
    """The declaration of a tensor. Raises ModelError naming ``what`` and the value where it is not a tensor."""
    spec = spec_of(value)
    if spec is None:
        kind = "a value of unknown type" if value.type is None else f"of type {value.type}"
        raise ModelError(f"{what} {value.name!r} is {kind}; only tensors of a known element type can be served")
    return spec


def tensor_shapes(model: Model) -> dict[str, TensorSpec]:
    """Inferred declarations of inputs, weights and all nodes' outputs, by name."""
    graph = model.ir.graph
    values = [*graph.inputs, *graph.initializers.values()]
    for node in model.nodes:
        values.extend(output for output in node.outputs if output.name)
    specs = (spec_of(value) for value in values)
    return {spec.name: spec for spec in specs if spec is not None}


def _dims_of(shape: ir.Shape | None) -> tuple[Dim, ...] | None:
    if shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else dim.value for dim in shape)
