"""ConvTranspose: split by rows (with a halo), output channels, groups, batch, and input channels (as a sum)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from mopar.sharding.pieces import WHOLE, Piece, Span, granules, scaled, split
from mopar.sharding.rule import Shape, Sharded, View, Wanted, rule
from mopar.sharding.rules.convolution import bias, by_input_channels


@rule("ConvTranspose")
def conv_transpose(view: View, wanted: Wanted) -> Sharded | None:
    """Inputs ``X (n, c, ..)``, ``W (c, m / groups, ..)`` and optionally ``B (m)``."""
    piece, weight = wanted[0], view.shape(1)
    if piece is None or weight is None or any(dim is None for dim in weight):
        return None
    if piece.summand:
        return by_input_channels(view, 0)
    if piece.axis == 0:
        return Sharded((piece, WHOLE, *bias(view, WHOLE)), (piece,))
    if piece.axis == 1:
        return _by_output_channels(view, piece, weight)
    return _by_rows(view, piece.hull(), [dim for dim in weight[2:] if dim is not None])


def _by_output_channels(view: View, piece: Piece, weight: Shape) -> Sharded | None:
    groups, (channels, each) = view.attribute("group", 1), weight[:2]
    assert channels is not None
    assert each is not None
    if groups == 1:
        return Sharded((WHOLE, piece, *bias(view, piece.along(0))), (piece,))
    chosen = granules(piece.spans, each)
    if chosen == ((0, groups),):
        return None
    made, taken = Piece(1, scaled(chosen, each)), Piece(1, scaled(chosen, channels // groups))
    attributes: dict[str, ir.Attr | None] = {"group": ir.AttrInt64("group", made.size // each)}
    return Sharded((taken, taken.along(0), *bias(view, made.along(0))), (made,), attributes)


@dataclass(frozen=True, slots=True)
class _Stamps:
    """Windows of outputs that the inputs along one spatial axis contribute to.

    Input ``i`` adds to ``reach`` outputs from ``i * stride - begin`` on.

    Attributes:
        reach: extent of the kernel, dilation included.
        begin, end: number of outputs that are cropped (the operator's padding).
        extra: outputs after the last window.
    """

    stride: int
    reach: int
    begin: int
    end: int
    extra: int

    def of(self, outputs: Span, size: int) -> "tuple[Span, _Stamps] | None":
        """The span of inputs for a span of outputs, and the windows for just these; None where no input contributes.

        The span begins at an input whose window begins at or before the first output; outputs before that are cropped.
        """
        first, last = outputs[0] + self.begin, outputs[1] - 1 + self.begin
        start = max(min(-((self.reach - 1 - first) // self.stride), first // self.stride), 0)
        stop = min(last // self.stride + 1, size)
        if start >= stop:
            return None
        beyond = (stop - 1) * self.stride + self.reach - (last + 1)
        own = replace(self, begin=first - start * self.stride, end=max(beyond, 0), extra=max(-beyond, 0))
        return (start, stop), own


def _by_rows(view: View, hull: Piece, kernel: Sequence[int]) -> Sharded | None:
    shape, stamps = view.shape(0), _stamps(view, kernel)
    assert hull.axis is not None
    if shape is None or stamps is None:
        return None
    number, size = hull.axis - 2, shape[hull.axis]
    assert size is not None
    found = stamps[number].of(hull.spans[0], size)
    if found is None:
        return None
    span, stamps[number] = found
    pads = [*(one.begin for one in stamps), *(one.end for one in stamps)]
    attributes: dict[str, ir.Attr | None] = {
        "pads": ir.AttrInt64s("pads", pads),
        "output_padding": ir.AttrInt64s("output_padding", [one.extra for one in stamps]),
        "auto_pad": None,
        "output_shape": None,
    }
    return Sharded((split(hull.axis, [span], size), WHOLE, *bias(view, WHOLE)), (hull,), attributes)


def _stamps(view: View, kernel: Sequence[int]) -> list[_Stamps] | None:
    """The windows of every spatial axis; None where a size is not known, or the output's size is inconsistent."""
    shape, full = view.shape(0), view.out_shape()
    if shape is None or full is None:
        return None
    rank = len(kernel)
    stride = view.attribute_ints("strides") or [1] * rank
    dilation = view.attribute_ints("dilations") or [1] * rank
    extra = view.attribute_ints("output_padding") or [0] * rank
    pads = view.attribute_ints("pads") or [0] * (2 * rank)
    mode = view.attribute_string("auto_pad", "NOTSET")
    wanted = view.attribute_ints("output_shape")
    found: list[_Stamps] = []
    for axis, (size, count) in enumerate(zip(shape[2:], full[2:], strict=True)):
        if size is None or count is None:
            return None
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        stamped = (size - 1) * stride[axis] + reach + extra[axis]
        begin, end = (0, 0) if mode == "VALID" else (pads[axis], pads[rank + axis])
        if wanted or mode.startswith("SAME"):
            total = stamped - (wanted[axis - rank] if wanted else size * stride[axis])
            begin, end = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
            if mode != "SAME_UPPER":
                begin, end = end, begin
        more = count - (stamped - begin - end)
        if min(begin, end, more) < 0 or (more and not wanted):
            return None
        found.append(_Stamps(stride[axis], reach, begin, end, extra[axis] + more))
    return found
