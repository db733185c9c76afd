"""Which tensors live when in the graph that the engine runs: its kernels, in its order, with its buffers.

The canonical graph does not tell what the engine fuses, what it puts in to change layouts, nor where it writes a
result. The optimised graph and the engine's own statistics do: a kernel whose outputs got no memory of their own wrote
them into an input that died there, or into a buffer that an earlier tensor of the same size left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mopar.engine.kernel_memory import KernelMemory
from mopar.engine.trace import KernelEvent
from mopar.nodes import is_weight, name_of, reads_of
from mopar.profiling.liveness import Operation, live_bytes

_BITS = {"float": 32, "double": 64, "bool": 8, "string": 128}
_SUM_INPUT = 3
"""The blocked Conv writes over the tensor that it adds to its result, its fourth input."""


@dataclass(frozen=True, slots=True)
class EngineRun:
    """One run of an optimised graph.

    Attributes:
        graph: what ran.
        events: its kernels by their places in the graph, in the order in which they ran.
        memory: what they asked for, as far as known.
    """

    graph: ir.Graph
    events: Mapping[int, KernelEvent]
    memory: Mapping[int, KernelMemory]


def kernel_live_bytes(run: EngineRun, known: Mapping[str, int]) -> dict[int, int]:
    """Kernel -> bytes of tensors that are live while it runs.

    Args:
        run: of the model.
        known: bytes of the model's inputs, and of its tensors as far as known.
    """
    operations, sizes = kernel_operations(run, known)
    inputs = [name_of(value) for value in run.graph.inputs]
    outputs = [name_of(value) for value in run.graph.outputs]
    live = live_bytes(operations, sizes, inputs, outputs, len(operations))
    return dict(zip(run.events, live, strict=True))


def kernel_operations(run: EngineRun, known: Mapping[str, int]) -> tuple[list[Operation], dict[str, int]]:
    """The kernels as liveness sees them, each a layer of its own; and the bytes of each tensor.

    Args:
        run: of the model.
        known: as in :func:`kernel_live_bytes`; what the profiler tells goes before it.
    """
    nodes = list(run.graph)
    operations: list[Operation] = []
    sizes = dict(known)
    for index, event in run.events.items():
        node = nodes[index]
        reads = tuple(name_of(value) for value in reads_of(node, run.graph) if not is_weight(value))
        makes = tuple(str(value.name) for value in node.outputs if value.name)
        if len(makes) == len(event.outputs):
            sizes.update(zip(makes, (_bytes(*output) for output in event.outputs), strict=True))
        for name in (*reads, *makes):
            sizes.setdefault(name, 0)  # no tensor: the elements of a sequence were counted when they were made
        sums = len(node.inputs) > _SUM_INPUT and node.op_type == "Conv" and node.inputs[_SUM_INPUT] is not None
        memory = run.memory.get(index)
        fresh = memory is not None and memory.output_bytes > 0
        operations.append(Operation(len(operations), "Sum" if sums else node.op_type, reads, makes, in_place=not fresh))
    return operations, sizes


def _bytes(dtype: str, shape: Sequence[int]) -> int:
    """Of a tensor, by the engine's name of its element type, such as ``float`` or ``int64``."""
    digits = "".join(character for character in dtype if character.isdigit())
    bits = _BITS.get(dtype) or int(digits or 8)
    count = 1
    for dim in shape:
        count *= dim
    return (count * bits + 7) // 8
