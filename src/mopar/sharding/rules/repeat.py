"""Expand and Tile: a part reads the elements that occur in its repetitions."""

from collections.abc import Sequence

import numpy as np

from mopar.sharding.pieces import Piece, Span, granules, scaled, split
from mopar.sharding.rule import Shape, Sharded, View, Wanted, rule
from mopar.sharding.rules.factors import Dim, dims_of, fold, unroll
from mopar.sharding.rules.linear import summand


@rule("Expand")
def expand(view: View, wanted: Wanted) -> Sharded | None:
    """An axis that is not expanded splits with the input; along an expanded axis a part makes fewer copies."""
    piece, before, after = wanted[0], dims_of(view.value(0)), dims_of(view.node.outputs[0])
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    if before is None or after is None or piece.axis is None:
        return None
    aligned: Sequence[Dim] = (*[1] * (len(after) - len(before)), *before)
    target = _expanded(view, aligned, after)
    if target is None or aligned[piece.axis] not in {1, after[piece.axis]}:
        return None
    target[piece.axis] = piece.size
    axis = piece.axis - (len(after) - len(before))
    taken = Piece() if aligned[piece.axis] == 1 else piece.along(axis)
    return Sharded((taken, None), (piece,), constants={1: np.array(target, np.int64)})


@rule("Tile")
def tile(view: View, wanted: Wanted) -> Sharded | None:
    """Whole copies of the input, or a piece of every copy, whichever makes fewer elements."""
    piece, before, after = wanted[0], view.shape(0), view.out_shape()
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    repeats = _repeats(view, before, after)
    size = None if before is None or piece.axis is None else before[piece.axis]
    if repeats is None or size is None or piece.axis is None:
        return None
    times = repeats[piece.axis]
    copies = granules(piece.spans, size)
    folded = fold(piece.spans, size)
    each = unroll(folded, size, times)
    if _total(each) < _total(copies) * size:
        return Sharded((split(piece.axis, folded, size), None), (Piece(piece.axis, each),), constants=_counts(repeats))
    repeats[piece.axis] = _total(copies)
    made = Piece(piece.axis, scaled(copies, size))
    return Sharded((Piece(), None), (made,), constants=_counts(repeats))


def _expanded(view: View, before: Sequence[Dim], after: Sequence[Dim]) -> list[int] | None:
    """The target shape, with 1 for dimensions that are not expanded; None where one is not known."""
    given = view.ints(1)
    given = None if given is None else [1] * (len(after) - len(given)) + given
    found = []
    for axis, (old, new) in enumerate(zip(before, after, strict=True)):
        if isinstance(new, int):
            found.append(new)
        elif given is not None:
            found.append(given[axis])
        elif old is not None and old == new:
            found.append(1)
        else:
            return None
    return found


def _repeats(view: View, before: Shape | None, after: Shape | None) -> list[int] | None:
    """Number of repetitions of each axis: given, or derived from the shapes; None where not known."""
    given = view.ints(1)
    if given is not None or before is None or after is None:
        return given
    found = [new // old for old, new in zip(before, after, strict=True) if old and new is not None]
    return found if len(found) == len(before) else None


def _counts(repeats: Sequence[int]) -> dict[int, np.ndarray]:
    return {1: np.array(repeats, np.int64)}


def _total(spans: Sequence[Span]) -> int:
    return sum(stop - start for start, stop in spans)
