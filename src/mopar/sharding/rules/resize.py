"""Resize and Upsample: split along unscaled axes, and along scaled ones with neighbouring elements as halo."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np

from mopar.sharding.pieces import WHOLE, Piece, Span, split
from mopar.sharding.rule import Sharded, View, Wanted, rule

_SCALES, _SIZES = 2, 3
"""Numbers of Resize's inputs from opset 11 on; before, and for Upsample, scales are the second input."""

_HALF = Fraction(1, 2)
_PLACES: dict[str, tuple[Fraction, Fraction]] = {
    "asymmetric": (Fraction(0), Fraction(0)),
    "half_pixel": (_HALF, _HALF),
    "pytorch_half_pixel": (_HALF, _HALF),
    "half_pixel_symmetric": (_HALF, _HALF),
    "tf_half_pixel_for_nn": (_HALF, Fraction(0)),
}
"""By coordinate_transformation_mode: output ``o`` lies at ``(o + first) / scale - second`` of the input.

The other modes depend on the sizes of both tensors, which differ in a part, so its elements would be sampled elsewhere.
"""

_BY_REGION, _ONE_IS_APART = "tf_crop_and_resize", "pytorch_half_pixel"
"""Modes with special cases: one depends on roi; in the other, a single output lies at the first input."""

_NEAREST: dict[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda place: ceil(place - _HALF),
    "round_prefer_ceil": lambda place: floor(place + _HALF),
    "floor": floor,
    "ceil": ceil,
}


@dataclass(frozen=True, slots=True)
class _Sampling:
    """How outputs along an axis are sampled from inputs.

    Attributes:
        scale: outputs per input.
        places: coordinate transformation of the outputs, an entry of ``_PLACES``.
        first, last: map a coordinate to the first and the last input that is read for it.
    """

    scale: Fraction
    places: tuple[Fraction, Fraction]
    first: Callable[[Fraction], int]
    last: Callable[[Fraction], int]

    def inputs(self, outputs: Span, size: int) -> Span:
        """The span of inputs for a span of outputs, extended to inputs at which an output begins."""
        granule = self.scale.denominator
        start, stop = self.first(self._place(outputs[0])), self.last(self._place(outputs[1] - 1)) + 1
        own = min(start, floor(outputs[0] / self.scale)), max(stop, ceil(outputs[1] / self.scale))
        return max(own[0] // granule * granule, 0), min(-(-own[1] // granule) * granule, size)

    def _place(self, output: int) -> Fraction:
        return (output + self.places[0]) / self.scale - self.places[1]


@rule("Resize", "Upsample")
def resize(view: View, wanted: Wanted) -> Sharded | None:
    """Input ``X``, with ``scales`` or ``sizes`` for every axis or for ``axes``."""
    piece, shape, full = wanted[0], view.shape(0), view.out_shape()
    if piece is None or piece.summand or piece.axis is None or shape is None or full is None:
        return None
    if view.attribute_string("coordinate_transformation_mode") == _BY_REGION:
        return None
    axis, count, size = piece.axis, full[piece.axis], shape[piece.axis]
    axes = view.attribute_ints("axes") or list(range(len(shape)))
    number = next((i for i, one in enumerate(axes) if one % len(shape) == axis), None)
    if number is None:
        return _with(view, piece, piece, None)
    scales, to_sizes = _scales(view), view.value(_SIZES) is not None
    if scales is None and not to_sizes:
        return None
    keeps = scales[number] == 1.0 if scales else count == size is not None
    if keeps:
        return _with(view, piece, piece, number)
    if count is None or size is None:
        return None
    return _along(view, piece, size, count, number)


def _along(view: View, piece: Piece, size: int, count: int, number: int) -> Sharded | None:
    """A piece along a resized axis, the ``number``th in the list of scales or sizes."""
    assert piece.axis is not None
    scales = _scales(view)
    sampling = _sampling(view, size, count, scales[number] if scales else count / size)
    if sampling is None:
        return None
    start, stop = sampling.inputs(piece.hull().spans[0], size)
    made = Piece(piece.axis, ((int(start * sampling.scale), int(stop * sampling.scale)),))
    taken = split(piece.axis, [(start, stop)], size)
    if taken.is_whole or (made.size == 1 and _transformation(view) == _ONE_IS_APART):
        return None
    return _with(view, taken, made, number)


def _sampling(view: View, size: int, count: int, given: float) -> _Sampling | None:
    """The sampling of an axis; None where a part would not sample exactly the coordinates that the whole node does."""
    scale, places = Fraction(count, size), _PLACES.get(_transformation(view))
    if Fraction(float(np.float32(scale))) != scale or given != scale or places is None or view.attribute("antialias"):
        return None
    mode = view.attribute_string("mode", "nearest")
    if mode == "nearest":
        # For old opsets the engine rounds up where it shrinks; within a granule that reads the same elements.
        standard = "floor" if _is_old(view) else "round_prefer_floor"
        nearest = _NEAREST[view.attribute_string("nearest_mode", standard)]
        return _Sampling(scale, places, nearest, nearest)
    beside = 1 if mode == "cubic" else 0
    return _Sampling(scale, places, lambda place: floor(place) - beside, lambda place: ceil(place) + beside)


def _transformation(view: View) -> str:
    return view.attribute_string("coordinate_transformation_mode", "asymmetric" if _is_old(view) else "half_pixel")


def _is_old(view: View) -> bool:
    """Whether the node is Upsample, or Resize before opset 11."""
    return len(view.node.inputs) < _SIZES


def _scales(view: View) -> list[float] | None:
    """Scale of each axis; None where sizes are given instead, or the scales are not constant."""
    found = view.node.attributes.get("scales")
    if found is not None:
        return list(found.as_floats())
    array = view.constant(1 if _is_old(view) else _SCALES)
    return None if array is None or array.size == 0 else [float(scale) for scale in array.reshape(-1)]


def _with(view: View, taken: Piece, made: Piece, number: int | None) -> Sharded | None:
    """The result for a piece; where sizes are given, ``number`` is the index of the piece's axis in their list."""
    inputs: list[Piece | None] = [None if value is None else WHOLE for value in view.node.inputs]
    inputs[0] = taken
    if number is None or view.value(_SIZES) is None:
        return Sharded(tuple(inputs), (made,))
    sizes = view.ints(_SIZES)
    if sizes is None or view.attribute_string("keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    sizes[number] = made.size
    inputs[_SIZES] = None
    return Sharded(tuple(inputs), (made,), constants={_SIZES: np.array(sizes, np.int64)})
