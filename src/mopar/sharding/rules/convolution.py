"""Conv: split by rows (with a halo), output channels, groups, batch, and input channels (as a sum)."""

import onnx_ir as ir

from mopar.sharding.pieces import SUMMAND, WHOLE, Piece, granules, scaled, split
from mopar.sharding.rule import Shape, Sharded, View, Wanted, rule
from mopar.sharding.rules.windows import along, windows_of


@rule("Conv")
def conv(view: View, wanted: Wanted) -> Sharded | None:
    """Inputs ``X (n, c, ..)``, ``W (m, c / groups, ..)`` and optionally ``B (m)``."""
    piece, weight = wanted[0], view.shape(1)
    if piece is None or weight is None or any(dim is None for dim in weight):
        return None
    if piece.summand:
        return by_input_channels(view, 1)
    if piece.axis == 0:
        return Sharded((piece, WHOLE, *bias(view, WHOLE)), (piece,))
    if piece.axis == 1:
        return _by_output_channels(view, piece, weight)
    windows = windows_of(view, [dim for dim in weight[2:] if dim is not None])
    found = None if windows is None else along(windows, piece)
    if found is None:
        return None
    taken, attributes, made = found
    return Sharded((taken, WHOLE, *bias(view, WHOLE)), (made,), attributes)


def _by_output_channels(view: View, piece: Piece, weight: Shape) -> Sharded | None:
    groups, (filters, channels) = view.attribute("group", 1), weight[:2]
    assert filters is not None
    assert channels is not None
    if groups == 1:
        along_filters = piece.along(0)
        return Sharded((WHOLE, along_filters, *bias(view, along_filters)), (piece,))
    each = filters // groups
    chosen = granules(piece.spans, each)
    if chosen == ((0, groups),):
        return None
    made = Piece(1, scaled(chosen, each))
    attributes: dict[str, ir.Attr | None] = {"group": ir.AttrInt64("group", made.size // each)}
    taken = Piece(1, scaled(chosen, channels))
    return Sharded((taken, made.along(0), *bias(view, made.along(0))), (made,), attributes)


def by_input_channels(view: View, weight_axis: int) -> Sharded | None:
    """A summand of a convolution from the part's span of input channels, which are ``weight_axis`` of the weight.

    With groups no output is a sum over all input channels, so a summand can only come from a summand of the input.
    """
    shape, added = view.shape(0), bias(view, WHOLE if view.part.leads else None)
    if view.attribute("group", 1) != 1:
        return Sharded((SUMMAND, WHOLE, *added), (SUMMAND,), share=1.0) if view.sums(0) else None
    if shape is None or shape[1] is None:
        return None
    span = view.part.span_of(shape[1])
    if span is None:
        return None
    inner = split(1, [span], shape[1])
    weight = split(weight_axis, [span], shape[1])
    return Sharded((inner, weight, *added), (SUMMAND,), share=(span[1] - span[0]) / shape[1])


def bias(view: View, piece: Piece | None) -> tuple[Piece | None, ...]:
    """The piece of the bias, where there is one."""
    return tuple(None if value is None else piece for value in view.node.inputs[2:])
