"""Slice: bounds and strides are rewritten relative to the piece of the input that a part reads."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from mopar.sharding.pieces import Piece
from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.linear import first, normal, summand


@dataclass(frozen=True, slots=True)
class _Cut:
    """How an axis is sliced; ``number`` is its index in the node's lists."""

    number: int
    start: int
    step: int


@rule("Slice")
def slice_axes(view: View, wanted: Wanted) -> Sharded | None:
    """An axis that is not sliced splits like the input; along a sliced axis the part slices its own span."""
    piece, shape = wanted[0], view.shape(0)
    if piece is None or piece.summand:
        return None if piece is None else summand(view)
    axes = None if shape is None else _axes(view, len(shape))
    if axes is None or piece.axis is None or shape is None:
        return None
    if piece.axis not in axes:
        return Sharded(first(view, piece), (piece,))
    cut = _cut(view, axes.index(piece.axis), shape[piece.axis])
    if cut is None:
        return None
    if cut.step == 1:
        taken = Piece(piece.axis, tuple((cut.start + start, cut.start + stop) for start, stop in piece.spans))
        if len(axes) == 1:
            inputs = (taken, *[None] * (len(view.node.inputs) - 1))
            return Sharded(inputs, (piece,), passes=0, share=0.0)
        return _rewritten(view, cut, taken, piece)
    made = piece.hull()
    ((start, stop),) = made.spans
    ends = sorted((cut.start + start * cut.step, cut.start + (stop - 1) * cut.step))
    return _rewritten(view, cut, Piece(piece.axis, ((ends[0], ends[1] + 1),)), made)


def _rewritten(view: View, cut: _Cut, taken: Piece, made: Piece) -> Sharded | None:
    """The node with bounds that select all of the input's piece, forwards or backwards."""
    bounds = (0, taken.size) if cut.step > 0 else (taken.size - 1, -taken.size - 1)
    attributes: dict[str, ir.Attr | None] = {}
    constants: dict[int, npt.NDArray[np.generic]] = {}
    for name, number, bound in (("starts", 1, bounds[0]), ("ends", 2, bounds[1])):
        found = _bounds(view, name, number)
        if found is None:
            return None
        found[cut.number] = bound
        if name in view.node.attributes:
            attributes[name] = ir.AttrInt64s(name, [int(item) for item in found])
        else:
            constants[number] = found
    return Sharded(first(view, taken), (made,), attributes, constants)


def _cut(view: View, number: int, size: int | None) -> _Cut | None:
    """How an axis of ``size`` elements is sliced; None where that is not known."""
    starts, steps = _bounds(view, "starts", 1), view.ints(4) if view.value(4) is not None else []
    if size is None or starts is None or steps is None:
        return None
    start, step = int(starts[number]), steps[number] if steps else 1
    start = start + size if start < 0 else start
    return _Cut(number, min(max(start, 0), size if step > 0 else size - 1), step)


def _bounds(view: View, name: str, number: int) -> npt.NDArray[np.generic] | None:
    """An attribute (before opset 10) or an input, as a new array."""
    given = view.attribute_ints(name)
    if given is not None:
        return np.array(given, np.int64)
    found = view.constant(number)
    return None if found is None else np.array(found)


def _axes(view: View, rank: int) -> list[int] | None:
    """The sliced axes, in the order of the bounds."""
    given = view.attribute_ints("axes") or view.ints(3)
    if given is not None:
        return [normal(axis, rank) for axis in given]
    if view.value(3) is not None:
        return None
    starts, shape = view.attribute_ints("starts"), view.shape(1)
    count = len(starts) if starts is not None else (shape[0] if shape else None)
    return None if count is None else list(range(count))
