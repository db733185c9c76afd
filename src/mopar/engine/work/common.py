"""What the rules of all operator families share."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mopar.engine.work.facts import NodeFacts, TensorFacts


@dataclass(frozen=True, slots=True)
class Work:
    """What one kernel does in one run.

    Attributes:
        family: of operators that one fitted regressor covers.
        operator: the node's type, and what is fused into it.
        flops: arithmetic operations, a multiply-add as two.
        read_bytes: of activations that it takes.
        written_bytes: of what it makes.
        weight_bytes: of stored constants that it reads in a run.
        features: of its family, in that family's order.
        scratch_bytes: memory that it takes beyond its tensors, as far as known.
    """

    family: str
    operator: str
    flops: float
    read_bytes: float
    written_bytes: float
    weight_bytes: float
    features: tuple[float, ...]
    scratch_bytes: float = 0.0

    @property
    def moved_bytes(self) -> float:
        """All bytes that pass between memory and the core, were nothing cached."""
        return self.read_bytes + self.written_bytes + self.weight_bytes


def log2p(value: float) -> float:
    """Logarithm to base 2 of 1 + ``value``: sizes of 0 stay finite."""
    return math.log2(1.0 + value)


def filled(count: int, block: int) -> float:
    """Share of the last block that is used, over all blocks: 1 where ``count`` is a multiple of ``block``."""
    return count / (math.ceil(count / block) * block) if count > 0 else 1.0


def traffic(node: NodeFacts) -> tuple[float, float, float]:
    """Bytes of activations read, of outputs written, and of weights read, each tensor once."""
    taken = [tensor for tensor in node.inputs if tensor is not None]
    return (
        sum_bytes(tensor for tensor in taken if not tensor.weight),
        sum_bytes(node.outputs),
        sum_bytes(tensor for tensor in taken if tensor.weight),
    )


def sum_bytes(tensors: Iterable[TensorFacts]) -> float:
    """Bytes of several tensors."""
    return float(sum(tensor.bytes for tensor in tensors))


def shape_of(tensor: TensorFacts | None) -> tuple[int, ...]:
    """A tensor's shape; a scalar's where it is absent."""
    return () if tensor is None or tensor.shape is None else tensor.shape


def product(values: Iterable[int]) -> int:
    """Product of integers; 1 of none."""
    return math.prod(values)
