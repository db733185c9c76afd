"""Pad: split along unpadded axes, and along padded ones with the padding that remains at a part's edges."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from mopar.sharding.pieces import WHOLE, Piece, Span, split
from mopar.sharding.rule import Sharded, View, Wanted, rule

_PADS, _VALUE, _AXES = 1, 2, 3
"""Numbers of the inputs; before opset 11 pads and value are attributes."""


@dataclass(frozen=True, slots=True)
class _Padding:
    """The padding of one axis of ``size`` elements; negative where elements are cropped."""

    begin: int
    end: int
    size: int

    def of(self, outputs: Span, mode: str) -> tuple[Span, "_Padding", Span] | None:
        """For a span of outputs: the span of inputs, their padding, and the span of outputs that this makes.

        The result is larger than the request where that is only padding, or where padding mirrors inner elements.
        None for wrap-around padding, for which a part would need both ends.
        """
        start, stop = outputs[0] - self.begin, outputs[1] - self.begin
        first, last = min(start, self.size - 1), max(stop, 1)
        if mode == "reflect":
            first, last = min(first, 2 * (self.size - 1) - last + 1), max(last, 1 - first)
        if mode == "wrap" and (first < 0 or last > self.size):
            return None
        taken = max(first, 0), min(last, self.size)
        left = _Padding(taken[0] - first, last - taken[1], taken[1] - taken[0])
        return taken, left, (first + self.begin, last + self.begin)


@rule("Pad")
def pad(view: View, wanted: Wanted) -> Sharded | None:
    """Inputs ``data`` and constant ``pads``: the begins of every axis (or of ``axes``), then the ends."""
    piece, shape, pads, axes = wanted[0], view.shape(0), _pads(view), _axes(view)
    if piece is None or shape is None or pads is None or axes is None:
        return None
    mode = view.attribute_string("mode", "constant")
    others = tuple(None if value is None else WHOLE for value in view.node.inputs[1:])
    if piece.summand:
        keeps = view.sums(0) and (mode != "constant" or _pads_nothing(view))
        return Sharded((piece, *others), (piece,), share=1.0) if keeps else None
    number = axes.index(piece.axis) if piece.axis in axes else None
    if number is None or pads[number] == pads[len(axes) + number] == 0:
        return Sharded((piece, *others), (piece,))
    return _along(view, piece, number, pads, mode)


def _along(view: View, piece: Piece, number: int, pads: list[int], mode: str) -> Sharded | None:
    """A piece along a padded axis, the ``number``th in the list of pads."""
    shape, end, axis = view.shape(0), len(pads) // 2 + number, piece.axis
    size = None if shape is None or axis is None else shape[axis]
    if size is None or axis is None:
        return None
    found = _Padding(pads[number], pads[end], size).of(piece.hull().spans[0], mode)
    if found is None:
        return None
    span, left, made = found
    pads[number], pads[end] = left.begin, left.end
    inputs = [split(axis, [span], size), *(None if value is None else WHOLE for value in view.node.inputs[1:])]
    outputs = (Piece(axis, (made,)),)
    if len(inputs) == 1:
        return Sharded(tuple(inputs), outputs, {"pads": ir.AttrInt64s("pads", pads)})
    inputs[_PADS] = None
    return Sharded(tuple(inputs), outputs, constants={_PADS: np.array(pads, np.int64)})


def _pads(view: View) -> list[int] | None:
    return view.attribute_ints("pads") if view.value(_PADS) is None else view.ints(_PADS)


def _axes(view: View) -> list[int] | None:
    """The axes that the list of pads is for; None where they are not known."""
    shape = view.shape(0)
    if shape is None or view.value(_AXES) is None:
        return None if shape is None else list(range(len(shape)))
    axes = view.ints(_AXES)
    return None if axes is None else [axis % len(shape) for axis in axes]


def _pads_nothing(view: View) -> bool:
    """Whether the padding is constant zeros."""
    if view.value(_PADS) is None:
        found = view.node.attributes.get("value")
        return found is None or found.as_float() == 0.0
    value = view.constant(_VALUE)
    return view.value(_VALUE) is None or (value is not None and not value.any())
