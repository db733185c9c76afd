"""Layouts of a step's outputs: the ways to split them among the parts that the search tries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mopar.sharding.pieces import SUMMAND, WHOLE, Piece, even_spans
from mopar.sharding.rule import shape_of

_MOST_AXES = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout: for each part, the piece of each of the step's outputs that it produces; outputs may be missing."""

    name: str
    wanted: tuple[Mapping[ir.Value, Piece], ...]


def layouts(leaving: Sequence[ir.Value], parts: int) -> tuple[Layout, ...]:
    """The layouts to try for the outputs ``leaving`` (in order of production) and so many parts."""
    if not leaving:
        return ()
    found = [_along(leaving, axis, parts) for axis in range(_MOST_AXES)]
    return tuple(layout for layout in (*found, _summed(leaving, parts), _by_tensor(leaving, parts)) if layout)


def _along(leaving: Sequence[ir.Value], axis: int, parts: int) -> Layout | None:
    """Every tensor split along one axis; the first part produces tensors without that axis, or with too short a one."""
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
    """The last tensor as a sum of the parts' summands; the first part produces the others."""
    wanted: list[dict[ir.Value, Piece]] = [{leaving[-1]: SUMMAND} for _ in range(parts)]
    wanted[0].update(dict.fromkeys(leaving[:-1], WHOLE))
    return Layout("sum", tuple(wanted))


def _by_tensor(leaving: Sequence[ir.Value], parts: int) -> Layout | None:
    """Whole tensors distributed over the parts in order of production: independent branches."""
    if len(leaving) < parts:
        return None
    dealt = even_spans(len(leaving), parts)
    return Layout("branches", tuple(dict.fromkeys(leaving[start:stop], WHOLE) for start, stop in dealt))
