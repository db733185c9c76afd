"""Which tensors live when, and how many bytes that is.

Counted per layer: what crosses into it and is still needed, and what it makes for others. A tensor
that only nodes of one layer see is not counted, as if the engine fused them all and did not
materialise it; ``liveness_kernels`` looks closer where a run showed what it fuses. Assumed of the engine's
buffers:

- the output of a view (Reshape, Flatten, ..) is its input's buffer;
- an elementwise operator writes into an input of the same size that dies there, unless a request
  brought that input;
- a model's inputs live until their last use, its outputs from when they are made to the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
IN_PLACE = frozenset(
    {
        "Abs", "Add", "And", "Ceil", "Clip", "Div", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish",
        "LeakyRelu", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu", "Round", "Selu",
        "Sigmoid", "Sign", "Softmax", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tanh", "BatchNormalization",
        "ThresholdedRelu", "Where",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """A node as liveness sees it.

    Attributes:
        layer: that it belongs to.
        operator: its type.
        reads: tensors that it takes, weights left out.
        makes: tensors that it makes.
        in_place: whether it may write over what it reads, if its operator can.
    """

    layer: int
    operator: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    in_place: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """All tensors that it takes and makes."""
        return *self.reads, *self.makes


def live_bytes(
    operations: Sequence[Operation],
    sizes: Mapping[str, int],
    inputs: Sequence[str],
    outputs: Sequence[str],
    layers: int,
) -> tuple[int, ...]:
    """Bytes that are live while each layer runs.

    Args:
        operations: nodes in topological order; their layers never decrease.
        sizes: bytes of every tensor.
        inputs: what a request brings.
        outputs: what it gets.
        layers: how many layers there are.
    """
    buffers = buffers_of(operations)
    born: dict[str, int] = dict.fromkeys(inputs, -1)
    dies: dict[str, int] = {}
    for operation in operations:
        for name in operation.makes:
            born.setdefault(buffers.get(name, name), operation.layer)
        for name in operation.reads:
            dies[buffers.get(name, name)] = operation.layer
    dies.update((buffers.get(name, name), layers) for name in outputs)
    totals = [0] * layers
    for name, first in born.items():
        last = dies.get(name, first)
        if first == last:
            continue
        for layer in range(max(first, 0), min(last, layers - 1) + 1):
            totals[layer] += sizes[name]
    for layer, saved in _taken_over(operations, sizes, buffers, born, dies).items():
        totals[layer] -= saved
    return tuple(totals)


def buffers_of(operations: Sequence[Operation]) -> dict[str, str]:
    """The tensor in whose buffer a view's output stands."""
    owner: dict[str, str] = {}
    for operation in operations:
        if operation.operator in VIEWS and operation.reads and operation.makes:
            owner[operation.makes[0]] = owner.get(operation.reads[0], operation.reads[0])
    return owner


def _taken_over(
    operations: Sequence[Operation],
    sizes: Mapping[str, int],
    buffers: Mapping[str, str],
    born: Mapping[str, int],
    dies: Mapping[str, int],
) -> dict[int, int]:
    """Bytes per layer of outputs that are written into an input that dies there."""
    producer = {name: operation for operation in operations for name in operation.makes}
    saved: dict[int, int] = {}
    for operation in operations:
        used: set[str] = set()
        for name in operation.makes:
            if not operation.in_place or name in buffers or dies.get(name, operation.layer) == operation.layer:
                continue
            for read in reachable_in_place(operation, producer):
                root = buffers.get(read, read)
                dying = born.get(root, -1) not in (-1, operation.layer) and dies.get(root) == operation.layer
                if dying and root not in used and sizes[root] == sizes[name]:
                    used.add(root)
                    saved[operation.layer] = saved.get(operation.layer, 0) + sizes[name]
                    break
    return saved


def reachable_in_place(operation: Operation, producer: Mapping[str, Operation]) -> list[str]:
    """Tensors from before the layer that its last elementwise operators read directly."""
    found, pending = [], [operation]
    while pending:
        current = pending.pop()
        if current.operator not in IN_PLACE:
            continue
        for name in current.reads:
            maker = producer.get(name)
            if maker is not None and maker.layer == operation.layer:
                pending.append(maker)
            else:
                found.append(name)
    return found
