"""Ways to split what a step makes among its parts: the layouts that a search tries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mopar.sharding.pieces import SUMMAND, WHOLE, Piece, even_spans
from mopar.sharding.rule import shape_of

_MOST_AXES = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """What each part gives of each tensor that leaves a step; a tensor that a part is not asked for is left out."""

    name: str
    wanted: tuple[Mapping[ir.Value, Piece], ...]


def layouts(leaving: Sequence[ir.Value], parts: int) -> tuple[Layout, ...]:
    """All ways worth trying to split ``leaving`` (in the order in which they are made) into so many parts."""
    if not leaving:
        return ()
    found = [_along(leaving, axis, parts) for axis in range(_MOST_AXES)]
    return tuple(layout for layout in (*found, _summed(leaving, parts), _by_tensor(leaving, parts)) if layout)


def _along(leaving: Sequence[ir.Value], axis: int, parts: int) -> Layout | None:
    """Every tensor along one axis; those that have it not, or too short, are the first part's."""
    spans = {value: _spans(value, axis, parts) for value in leaving}
    if spans[leaving[-1]] is None:
        return None
    wanted: list[dict[ir.Value, Piece]] = [{} for _ in range(parts)]
    for value, pieces in spans.items():
        if pieces is None:
            wanted[0][value] = WHOLE
        else:
            for part, span in zip(wanted, pieces, strict=True):
                part[value] = Piece(axis, (span,))
    return Layout(f"axis {axis}", tuple(wanted))


def _spans(value: ir.Value, axis: int, parts: int) -> tuple[tuple[int, int], ...] | None:
    shape = shape_of(value)
    size = shape[axis] if shape is not None and axis < len(shape) else None
    return even_spans(size, parts) if size is not None and size >= parts > 1 else None


def _summed(leaving: Sequence[ir.Value], parts: int) -> Layout:
    """The last tensor as a sum of what the parts make; the others are the first part's."""
    wanted: list[dict[ir.Value, Piece]] = [{leaving[-1]: SUMMAND} for _ in range(parts)]
    wanted[0].update(dict.fromkeys(leaving[:-1], WHOLE))
    return Layout("sum", tuple(wanted))


def _by_tensor(leaving: Sequence[ir.Value], parts: int) -> Layout | None:
    """Whole tensors, dealt out in the order in which they are made: independent branches."""
    if len(leaving) < parts:
        return None
    dealt = even_spans(len(leaving), parts)
    return Layout("branches", tuple(dict.fromkeys(leaving[start:stop], WHOLE) for start, stop in dealt))
