"""Conv: by rows (with a halo), by output channels, by groups, by images, and by input channels as a sum."""

import onnx_ir as ir

from mopar.sharding.pieces import SUMMAND, WHOLE, Piece, Span, merge
from mopar.sharding.rule import Shape, Sharded, View, Wanted, rule
from mopar.sharding.rules.windows import along, windows_of


@rule("Conv")
def conv(view: View, wanted: Wanted) -> Sharded | None:
    """Of ``X (n, c, ..)``, ``W (m, c / groups, ..)`` and perhaps ``B (m)``."""
    piece, weight = wanted[0], view.shape(1)
    if piece is None or weight is None or any(dim is None for dim in weight):
        return None
    if piece.summand:
        return _by_input_channels(view)
    if piece.axis == 0:
        return Sharded((piece, WHOLE, *_bias(view, WHOLE)), (piece,))
    if piece.axis == 1:
        return _by_output_channels(view, piece, weight)
    windows = windows_of(view, [dim for dim in weight[2:] if dim is not None])
    found = None if windows is None else along(windows, piece)
    if found is None:
        return None
    taken, attributes, made = found
    return Sharded((taken, WHOLE, *_bias(view, WHOLE)), (made,), attributes)


def _by_output_channels(view: View, piece: Piece, weight: Shape) -> Sharded | None:
    groups, (filters, channels) = view.attribute("group", 1), weight[:2]
    assert filters is not None
    assert channels is not None
    if groups == 1:
        along_filters = piece.along(0)
        return Sharded((WHOLE, along_filters, *_bias(view, along_filters)), (piece,))
    each = filters // groups
    chosen = merge((start // each, -(-stop // each)) for start, stop in piece.spans)
    made = Piece(1, _scaled(chosen, each))
    count = sum(stop - start for start, stop in chosen)
    attributes: dict[str, ir.Attr | None] = {"group": ir.AttrInt64("group", count)}
    taken = Piece(1, _scaled(chosen, channels))
    return Sharded((taken, made.along(0), *_bias(view, made.along(0))), (made,), attributes)


def _by_input_channels(view: View) -> Sharded | None:
    shape = view.shape(0)
    if view.attribute("group", 1) != 1 or shape is None or shape[1] is None:
        return None
    span = view.part.span_of(shape[1])
    if span is None:
        return None
    inner = Piece(1, (span,))
    bias = _bias(view, WHOLE if view.part.leads else None)
    return Sharded((inner, inner, *bias), (SUMMAND,), share=inner.size / shape[1])


def _bias(view: View, piece: Piece | None) -> tuple[Piece | None, ...]:
    """What is needed of the bias, where there is one."""
    inputs = view.node.inputs[2:]
    return tuple(None if value is None else piece for value in inputs)


def _scaled(spans: tuple[Span, ...], by: int) -> tuple[Span, ...]:
    return tuple((start * by, stop * by) for start, stop in spans)
