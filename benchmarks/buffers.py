"""Buffers that the engine holds for a model's tensors: live ones, and those kept for a later tensor of the same size.

Where shapes are known in advance, ONNX Runtime plans which tensor reuses which older one's buffer, and frees a buffer
only after the last of its tensors: in between it may hold nothing that is needed. The engine's statistics list the
kernels that allocated memory; the others wrote into an input that was dead by then, or took the most recently freed
buffer of their size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.layers import MeasuredLayers
from mopar.engine.packed import optimised_graph
from mopar.nodes import name_of
from mopar.profiling.layer_times import layers_of_kernels
from mopar.profiling.liveness import IN_PLACE, VIEWS, Operation
from mopar.profiling.liveness_kernels import EngineRun, kernel_operations


@dataclass(slots=True)
class _Buffer:
    size: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """What a process holds at most for a request while a layer runs.

    Attributes:
        buffers: of the engine, and the request's inputs, which the caller holds until the end.
        spent_inputs: the part of the inputs that no later layer reads.
    """

    buffers: int
    spent_inputs: int


def held_bytes(one: MeasuredLayers) -> dict[int, HeldBytes]:
    """Bytes held for a request, by layer."""
    measured = one.measured
    run = EngineRun(optimised_graph(measured.packed), measured.events, measured.memory)
    operations, sizes = kernel_operations(run, {name: point.bytes for name, point in measured.points.items()})
    inputs = [name_of(value) for value in run.graph.inputs]
    dies = _deaths(operations, {name_of(value) for value in run.graph.outputs})
    totals = [sum(sizes[name] for name in inputs)] * len(operations)
    for buffer in _buffers(operations, sizes, dies):
        for number in range(buffer.first, buffer.last + 1):
            totals[number] += buffer.size
    layer_of = layers_of_kernels(measured.kernels, [layer.nodes for layer in one.layers])
    found: dict[int, HeldBytes] = {}
    for number, kernel in enumerate(run.events):
        if kernel in layer_of:
            known = found.get(layer_of[kernel], HeldBytes(0, 0))
            spent = sum(sizes[name] for name in inputs if dies.get(name, -1) < number)
            found[layer_of[kernel]] = HeldBytes(max(known.buffers, totals[number]), max(known.spent_inputs, spent))
    return found


def _buffers(operations: Sequence[Operation], sizes: Mapping[str, int], dies: Mapping[str, int]) -> list[_Buffer]:
    """Every buffer, and from which operation to which it is held."""
    buffers: list[_Buffer] = []
    at: dict[str, _Buffer] = {}
    free: list[_Buffer] = []
    for number, operation in enumerate(operations):
        for name in operation.makes:
            buffer = _older_buffer(operation, name, sizes, at, free, dies, number)
            if buffer is None:
                buffer = _Buffer(sizes[name], number, number)
                buffers.append(buffer)
            elif buffer in free:
                free.remove(buffer)
            at[name] = buffer
            buffer.last = max(buffer.last, dies.get(name, number))
        for name in operation.names:
            buffer = at.get(name)
            if buffer is not None and buffer.last == number and number + 1 < len(operations) and buffer not in free:
                free.insert(0, buffer)
    return buffers


def _deaths(operations: Sequence[Operation], outputs: set[str]) -> dict[str, int]:
    """The operation after which each tensor is dead."""
    dies = {name: number for number, operation in enumerate(operations) for name in operation.reads}
    return dies | dict.fromkeys(outputs, len(operations) - 1)


def _older_buffer(
    operation: Operation,
    name: str,
    sizes: Mapping[str, int],
    at: Mapping[str, _Buffer],
    free: Sequence[_Buffer],
    dies: Mapping[str, int],
    number: int,
) -> _Buffer | None:
    """The buffer that a tensor reuses, where it has none of its own."""
    if operation.operator in VIEWS and operation.reads and operation.reads[0] in at:
        return at[operation.reads[0]]
    if not operation.in_place:
        return None
    if operation.operator in IN_PLACE:
        for read in operation.reads:
            buffer = at.get(read)
            if buffer is not None and buffer.size == sizes[name] and buffer.last == number and dies[read] == number:
                return buffer
    return next((buffer for buffer in free if buffer.size == sizes[name]), None)
