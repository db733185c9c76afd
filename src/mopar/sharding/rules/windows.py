"""Sliding windows: which inputs an output needs, and the padding that is left at a part's edges."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mopar.sharding.pieces import Piece, Span, split
from mopar.sharding.rule import View


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows over the spatial axes (2, 3, ..) of a tensor, one entry for each.

    Attributes:
        kernel, stride, dilation: of each axis.
        begin, end: padding.
        size: of the input.
        count: windows, which is the output's size.
    """

    kernel: Sequence[int]
    stride: Sequence[int]
    dilation: Sequence[int]
    begin: Sequence[int]
    end: Sequence[int]
    size: Sequence[int]
    count: Sequence[int]

    def input_of(self, number: int, outputs: Span) -> tuple[Span, int, int] | None:
        """Inputs of a span of windows along a spatial axis, and the padding before and after them.

        The last window of all may reach over the padding (``ceil_mode``), and what lies there counts less than
        padding: then the padding stays as it is. None where a first or last window would see padding alone.
        """
        stride, begin, size = self.stride[number], self.begin[number], self.size[number]
        reach = (self.kernel[number] - 1) * self.dilation[number] + 1
        first, last = outputs[0] * stride - begin, (outputs[1] - 1) * stride - begin + reach
        if first + reach <= 0 or last - reach >= size:
            return None
        start, stop = max(first, 0), min(last, size)
        return (start, stop), start - first, min(last - stop, self.end[number])


def windows_of(view: View, kernel: Sequence[int]) -> Windows | None:
    """The windows of a convolution or pooling node; None where a size that matters is not known."""
    shape, full = view.shape(0), view.out_shape()
    if shape is None or full is None:
        return None
    size, count = shape[2:], full[2:]
    known = [dim for dim in (*size, *count) if dim is not None]
    if len(known) < 2 * len(kernel) or len(size) != len(kernel):
        return None
    sizes, counts = known[: len(kernel)], known[len(kernel) :]
    stride = view.attribute_ints("strides") or [1] * len(kernel)
    dilation = view.attribute_ints("dilations") or [1] * len(kernel)
    pads = _pads(view, kernel, stride, dilation, sizes)
    return Windows(kernel, stride, dilation, pads[: len(kernel)], pads[len(kernel) :], sizes, counts)


def along(windows: Windows, piece: Piece) -> tuple[Piece, dict[str, ir.Attr | None], Piece] | None:
    """For a piece of the output along a spatial axis: the input's, the attributes that pad it, and what is made.

    What is made is one span: between the spans that are asked for, everything is computed.
    """
    hull = piece.hull()
    assert hull.axis is not None
    number = hull.axis - 2
    found = windows.input_of(number, hull.spans[0])
    if found is None:
        return None
    span, before, after = found
    begin, end = list(windows.begin), list(windows.end)
    begin[number], end[number] = before, after
    attributes: dict[str, ir.Attr | None] = {"pads": ir.AttrInt64s("pads", [*begin, *end]), "auto_pad": None}
    return split(hull.axis, [span], windows.size[number]), attributes, hull


def _pads(
    view: View,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    size: Sequence[int],
) -> list[int]:
    """Begin of every axis, then end; explicit, or by ``auto_pad``."""
    mode = view.attribute_string("auto_pad", "NOTSET")
    if mode == "VALID":
        return [0] * (2 * len(kernel))
    if mode in {"SAME_UPPER", "SAME_LOWER"}:
        begin, end = [], []
        for k, s, d, n in zip(kernel, stride, dilation, size, strict=True):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            small, large = total // 2, total - total // 2
            begin.append(small if mode == "SAME_UPPER" else large)
            end.append(large if mode == "SAME_UPPER" else small)
        return [*begin, *end]
    return view.attribute_ints("pads") or [0] * (2 * len(kernel))
