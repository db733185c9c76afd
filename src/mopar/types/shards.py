"""Sharding steps in profiles and plans: which share of each tensor a part holds."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """The share of a tensor that a part reads or produces.

    Attributes:
        tensor: name of the tensor.
        axis: axis that it is split along; None for the whole tensor or a summand.
        start, stop: range of elements along ``axis``; 0 where ``axis`` is None.
        summand: whether the share has the tensor's full shape and the parts' shares add up to the tensor.
    """

    tensor: str
    axis: int | None = None
    start: int = 0
    stop: int = 0
    summand: bool = False


@dataclass(frozen=True, slots=True)
class GraphPart:
    """One of ``count`` parts of consecutive layers: its shares of their inputs and outputs."""

    index: int
    count: int
    inputs: tuple[Share, ...]
    outputs: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class PartProfile:
    """Time and memory of one part of a step.

    Attributes:
        part: its index, inputs and outputs.
        time_share: its time as a share of the layers' time.
        resident_bytes, file_bytes: sizes of its weights, as in ``WeightProfile``.
        activation_bytes: peak size of its live tensors.
    """

    part: GraphPart
    time_share: float
    resident_bytes: int
    file_bytes: int
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class ShardStep:
    """Consecutive layers that parts can compute in parallel without exchanging anything.

    Attributes:
        start, stop: range of layers, ``stop`` exclusive; both are cut positions or an end of the model.
        layout: description of how its outputs are split.
        parts: the parts, in order.
    """

    start: int
    stop: int
    layout: str
    parts: tuple[PartProfile, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """The shares that the parts of a step have of one tensor, in the form of a profile file.

    Attributes:
        tensor, axis, summand: as in ``Share``.
        spans: range of elements of each part along ``axis``, (0, 0) without an axis; None where a part has no share.
    """

    tensor: str
    axis: int | None
    summand: bool
    spans: tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A ``ShardStep`` in the form of a profile file: each tensor once, and each figure as a list over the parts.

    Attributes:
        start, stop, layout: as in ``ShardStep``.
        takes, gives: input and output tensors, in an order that keeps the order within each part.
        time_share, resident_bytes, file_bytes, activation_bytes: one figure per part, as in ``PartProfile``.
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
    """The file form of a step, whose parts must be in order."""
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
    """The step of a file record. Raises ValueError where its lists differ in length."""
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
    """Regroup the parts' shares by tensor, in an order that keeps the order within each part."""
    left = [[(_key(share), (share.start, share.stop)) for share in some] for some in shares]
    found = []
    while any(left):
        keys = [some[0][0] for some in left if some]
        later = {key for some in left for key, _ in some[1:]}
        # Where parts list tensors in contradicting orders, a tensor gets more than one entry.
        first = next((key for key in keys if key not in later), keys[0])
        spans = tuple(some.pop(0)[1] if some and some[0][0] == first else None for some in left)
        found.append(Split(*first, spans))
    return tuple(found)


def _key(share: Share) -> _Key:
    return share.tensor, share.axis, share.summand


def _shares(splits: Sequence[Split], index: int) -> tuple[Share, ...]:
    has = ((split, split.spans[index]) for split in splits)
    return tuple(Share(split.tensor, split.axis, *span, split.summand) for split, span in has if span is not None)
