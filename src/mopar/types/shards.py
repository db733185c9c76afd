"""What parts that run side by side have of a model's tensors."""

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Split:
    """What the parts of a step have of one tensor, as files have it.

    Attributes:
        tensor, axis, summand: as in ``Share``.
        spans: of each part, the elements along ``axis``, or 0 and 0 without one; None where the part has nothing.
    """

    tensor: str
    axis: int | None
    summand: bool
    spans: tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A ``ShardStep`` as files have it: each tensor once, and each figure as a list by part.

    Attributes:
        start, stop, layout: as in ``ShardStep``.
        takes, gives: tensors, in the order in which the parts have them.
        time_share, resident_bytes, file_bytes, activation_bytes: of each part, as in ``PartProfile``.
    """

    start: int
    stop: int
    layout: str
    takes: tuple[Split, ...]
    gives: tuple[Split, ...]
    time_share: tuple[float, ...]
    resident_bytes: tuple[int, ...]
    file_bytes: tuple[int, ...]
    activation_bytes: tuple[int, ...]


def record_of(step: ShardStep) -> StepRecord:
    """A step, whose parts stand in order, as files have it."""
    parts = step.parts
    return StepRecord(
        step.start,
        step.stop,
        step.layout,
        takes=_splits([part.part.inputs for part in parts]),
        gives=_splits([part.part.outputs for part in parts]),
        time_share=tuple(part.time_share for part in parts),
        resident_bytes=tuple(part.resident_bytes for part in parts),
        file_bytes=tuple(part.file_bytes for part in parts),
        activation_bytes=tuple(part.activation_bytes for part in parts),
    )


def step_of(record: StepRecord) -> ShardStep:
    """The step that a record has. Raises ValueError where its lists are not all of one length."""
    count = len(record.time_share)
    figures = record.resident_bytes, record.file_bytes, record.activation_bytes
    spans = [split.spans for split in (*record.takes, *record.gives)]
    if any(len(values) != count for values in (*figures, *spans)):
        raise ValueError(f"the step of layers {record.start} to {record.stop} has figures of {count} parts, and others")
    parts = tuple(
        PartProfile(
            GraphPart(index, count, _shares(record.takes, index), _shares(record.gives, index)),
            record.time_share[index],
            *(values[index] for values in figures),
        )
        for index in range(count)
    )
    return ShardStep(record.start, record.stop, record.layout, parts)


_Key = tuple[str, int | None, bool]


def _splits(shares: Sequence[Sequence[Share]]) -> tuple[Split, ...]:
    """By tensor, of what each part has, in an order that keeps each part's."""
    left = [[(_key(share), (share.start, share.stop)) for share in some] for some in shares]
    found = []
    while any(left):
        keys = [some[0][0] for some in left if some]
        later = {key for some in left for key, _ in some[1:]}
        # Where parts have tensors in contradicting orders, one of them gets an entry of its own.
        first = next((key for key in keys if key not in later), keys[0])
        spans = tuple(some.pop(0)[1] if some and some[0][0] == first else None for some in left)
        found.append(Split(*first, spans))
    return tuple(found)


def _key(share: Share) -> _Key:
    return share.tensor, share.axis, share.summand


def _shares(splits: Sequence[Split], index: int) -> tuple[Share, ...]:
    has = ((split, split.spans[index]) for split in splits)
    return tuple(Share(split.tensor, split.axis, *span, split.summand) for split, span in has if span is not None)
