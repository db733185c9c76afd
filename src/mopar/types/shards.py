"""What parts that run side by side have of a model's tensors."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """What a part takes or gives of a tensor.

    Attributes:
        tensor: its name.
        axis: that it is split along; None where it is all of the tensor, or a summand.
        start, stop: the elements along ``axis``; 0 without one.
        summand: whether it has the whole's shape, and the parts' sum is the tensor.
    """

    tensor: str
    axis: int | None = None
    start: int = 0
    stop: int = 0
    summand: bool = False


@dataclass(frozen=True, slots=True)
class GraphPart:
    """One of ``count`` parts of a run of layers: what it takes of their inputs, and gives of their outputs."""

    index: int
    count: int
    inputs: tuple[Share, ...]
    outputs: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class PartProfile:
    """What one part of a step needs.

    Attributes:
        part: its place, inputs and outputs.
        time_share: of the layers' time, what it takes.
        resident_bytes, file_bytes: of its weights, as in ``WeightProfile``.
        activation_bytes: the most that its tensors take at once.
    """

    part: GraphPart
    time_share: float
    resident_bytes: int
    file_bytes: int
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class ShardStep:
    """A run of layers that parts can compute side by side without exchanging anything.

    Attributes:
        start, stop: layers, ``stop`` exclusive; both are cut positions, or the model's ends.
        layout: how its outputs are split, in words.
        parts: all of them.
    """

    start: int
    stop: int
    layout: str
    parts: tuple[PartProfile, ...]
