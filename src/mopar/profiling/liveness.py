"""Which tensors live when, and how many bytes that is.

Counted per layer: what crosses into it and is still needed, and what it makes for others. A tensor
that only nodes of one layer see is not counted, as if the engine fused them all and did not
materialise it; ``liveness_kernels`` looks closer where a run told what it fuses. Assumed of the engine's
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
class Step:
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


def live_bytes(
    steps: Sequence[Step],
    sizes: Mapping[str, int],
    inputs: Sequence[str],
    outputs: Sequence[str],
    layers: int,
) -> tuple[int, ...]:
    """Bytes that are live while each layer runs.

    Args:
        steps: nodes in topological order; their layers never decrease.
        sizes: bytes of every tensor.
        inputs: what a request brings.
        outputs: what it gets.
        layers: how many layers there are.
    """
    buffers = buffers_of(steps)
    born: dict[str, int] = dict.fromkeys(inputs, -1)
    dies: dict[str, int] = {}
    for step in steps:
        for name in step.makes:
            born.setdefault(buffers.get(name, name), step.layer)
        for name in step.reads:
            dies[buffers.get(name, name)] = step.layer
    dies.update((buffers.get(name, name), layers) for name in outputs)
    totals = [0] * layers
    for name, first in born.items():
        last = dies.get(name, first)
        if first == last:
            continue
        for layer in range(max(first, 0), min(last, layers - 1) + 1):
            totals[layer] += sizes[name]
    for layer, saved in _taken_over(steps, sizes, buffers, born, dies).items():
        totals[layer] -= saved
    return tuple(totals)


def buffers_of(steps: Sequence[Step]) -> dict[str, str]:
    """The tensor in whose buffer a view's output stands."""
    owner: dict[str, str] = {}
    for step in steps:
        if step.operator in VIEWS and step.reads and step.makes:
            owner[step.makes[0]] = owner.get(step.reads[0], step.reads[0])
    return owner


def _taken_over(
    steps: Sequence[Step],
    sizes: Mapping[str, int],
    buffers: Mapping[str, str],
    born: Mapping[str, int],
    dies: Mapping[str, int],
) -> dict[int, int]:
    """Bytes per layer of outputs that are written into an input that dies there."""
    producer = {name: step for step in steps for name in step.makes}
    saved: dict[int, int] = {}
    for step in steps:
        used: set[str] = set()
        for name in step.makes:
            if not step.in_place or name in buffers or dies.get(name, step.layer) == step.layer:
                continue
            for read in reachable_in_place(step, producer):
                root = buffers.get(read, read)
                dying = born.get(root, -1) not in (-1, step.layer) and dies.get(root) == step.layer
                if dying and root not in used and sizes[root] == sizes[name]:
                    used.add(root)
                    saved[step.layer] = saved.get(step.layer, 0) + sizes[name]
                    break
    return saved


def reachable_in_place(step: Step, producer: Mapping[str, Step]) -> list[str]:
    """Tensors from before the layer that its last elementwise operators read directly."""
    found, pending = [], [step]
    while pending:
        current = pending.pop()
        if current.operator not in IN_PLACE:
            continue
        for name in current.reads:
            maker = producer.get(name)
            if maker is not None and maker.layer == step.layer:
                pending.append(maker)
            else:
                found.append(name)
    return found
