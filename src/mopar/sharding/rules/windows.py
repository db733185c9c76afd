"""Sliding windows: which inputs an output needs, and the padding that remains at a part's edges."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from mopar.sharding.pieces import Piece, Span, split
from mopar.sharding.rule import View


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows over the spatial axes (2, 3, ..) of a tensor; each attribute has one entry per axis.

    Attributes:
        kernel, stride, dilation: of the window.
        begin, end: padding.
        size: size of the input.
        count: number of windows, which is the output's size.
    """

    kernel: Sequence[int]
    stride: Sequence[int]
    dilation: Sequence[int]
    begin: Sequence[int]
    end: Sequence[int]
    size: Sequence[int]
    count: Sequence[int]

    def input_of(self, number: int, outputs: Span) -> tuple[Span, int, int] | None:
        """The span of inputs for a span of windows along a spatial axis, and the padding before and after it.

        The last window may extend beyond the padding (``ceil_mode``); elements there are not counted as padding, so
        the padding is then kept unchanged. None where the first or last window would contain padding only.
        """
        stride, begin, size = self.stride[number], self.begin[number], self.size[number]
        reach = (self.kernel[number] - 1) * self.dilation[number] + 1
        first, last = outputs[0] * stride - begin, (outputs[1] - 1) * stride - begin + reach
        if first + reach <= 0 or last - reach >= size:
            return None
        start, stop = max(first, 0), min(last, size)
        return (start, stop), start - first, min(last - stop, self.end[number])


def windows_of(view: View, kernel: Sequence[int]) -> Windows | None:
    """The windows of a convolution or pooling node; None where a required size is not known."""
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
    """For a requested piece along a spatial axis: the input's piece, the padding attributes, and the piece made.

    The piece made is one span: gaps between requested spans are computed too.
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
    """Padding at the begin of every axis, then at the end; explicit, or by ``auto_pad``."""
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
