"""Concat and Split: along their axis a part reads and makes only the tensors that its spans overlap."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import onnx_ir as ir

from mopar.sharding.pieces import SUMMAND, Piece, Span, split
from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.linear import all_of, first, ranked

_SIZES_ARE_INPUTS = 13
"""Opset from which on Split takes its sizes as an input."""


@rule("Concat")
def concat(view: View, wanted: Wanted) -> Sharded | None:
    """Inputs outside of the spans are not read; where a single one is left, it replaces the output."""
    piece, axis, inputs = wanted[0], ranked(view, view.attribute("axis")), len(view.node.inputs)
    if piece is None or axis is None:
        return None
    if piece.summand:
        all_sum = all(view.sums(number) for number in range(inputs))
        return Sharded((SUMMAND,) * inputs, (SUMMAND,), share=1.0) if all_sum else None
    if piece.axis != axis:
        return Sharded((piece,) * inputs, (piece,))
    sizes = _sizes(view, axis, inputs)
    if sizes is None:
        return None
    starts = accumulate(sizes, initial=0)
    found = [_within(piece, start, size) for start, size in zip(starts, sizes, strict=False)]
    read = [number for number, one in enumerate(found) if one is not None]
    passes = read[0] if len(read) == 1 else None
    return Sharded(tuple(found), (piece,), passes=passes, share=None if passes is None else 0.0)


@rule("Split")
def split_up(view: View, wanted: Wanted) -> Sharded | None:
    """Along its axis outputs that are not requested are not made; a single one is a piece of the input."""
    axis = ranked(view, view.attribute("axis"))
    requested = [piece for piece in wanted if piece is not None]
    if axis is None or any(piece.summand for piece in requested):
        return None
    if any(piece.axis not in {None, axis} for piece in requested):
        needed = all_of(view, requested)
        return None if needed.is_whole else Sharded(first(view, needed), (needed,) * len(wanted))
    sizes = [None if shape is None else shape[axis] for shape in map(view.out_shape, range(len(wanted)))]
    known = [size for size in sizes if size is not None]
    return _along(view, axis, wanted, known) if len(known) == len(sizes) else None


def _along(view: View, axis: int, wanted: Wanted, sizes: Sequence[int]) -> Sharded:
    spans: list[Span] = []
    made: list[int] = []
    for piece, size, begin in zip(wanted, sizes, accumulate(sizes, initial=0), strict=False):
        if piece is not None:
            local = piece.spans or ((0, size),)
            spans += [(begin + start, begin + stop) for start, stop in local if start < stop]
            made.append(sum(stop - start for start, stop in local))
    needed = split(axis, spans, sum(sizes))
    if len(made) == 1:
        return Sharded((needed, *[None] * (len(view.node.inputs) - 1)), wanted, passes=0, share=0.0)
    inputs = (needed, *[None] * (len(view.node.inputs) - 1))
    if view.opset < _SIZES_ARE_INPUTS:
        return Sharded(inputs, wanted, {"split": ir.AttrInt64s("split", made)})
    return Sharded(inputs, wanted, {"num_outputs": None}, {1: np.array(made, np.int64)})


def _sizes(view: View, axis: int, inputs: int) -> list[int] | None:
    """Sizes of all inputs along an axis."""
    shapes = [view.shape(number) for number in range(inputs)]
    sizes = [size for shape in shapes if shape is not None and (size := shape[axis]) is not None]
    return sizes if len(sizes) == inputs else None


def _within(piece: Piece, begin: int, size: int) -> Piece | None:
    """The overlap of ``piece`` with an input that starts at ``begin``, in the input's coordinates."""
    assert piece.axis is not None
    spans = [(max(start - begin, 0), min(stop - begin, size)) for start, stop in piece.spans]
    spans = [(start, stop) for start, stop in spans if start < stop]
    return split(piece.axis, spans, size) if spans else None
