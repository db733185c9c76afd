"""Normalization over channels, channel groups, neighbouring channels or an axis."""

import onnx_ir as ir

from mopar.sharding.pieces import WHOLE, Piece, granules, scaled, split
from mopar.sharding.rule import Sharded, View, Wanted, rule

_CHANNELS = 1


@rule("BatchNormalization")
def batch_normalization(view: View, wanted: Wanted) -> Sharded | None:
    """Input ``X (n, c, ..)``; constant ``scale``, ``B``, ``mean`` and ``var`` per channel; not in training mode."""
    piece, *others = wanted
    if piece is None or piece.summand or any(other is not None for other in others):
        return None
    if view.attribute("training_mode") or not view.attribute("spatial", 1):
        return None
    return Sharded((piece, *_by_channel(view, piece)), (piece, *(None for _ in others)))


@rule("InstanceNormalization")
def instance_normalization(view: View, wanted: Wanted) -> Sharded | None:
    """Input ``X (n, c, ..)``; each channel is normalised by itself; ``scale`` and ``B`` per channel."""
    piece = wanted[0]
    if piece is None or piece.summand or piece.axis not in {0, _CHANNELS}:
        return None
    return Sharded((piece, *_by_channel(view, piece)), (piece,))


@rule("GroupNormalization")
def group_normalization(view: View, wanted: Wanted) -> Sharded | None:
    """Split by whole channel groups; ``scale`` and ``bias`` are per group (opset 18) or per channel (opset 21)."""
    piece, shape, scale = wanted[0], view.shape(0), view.shape(1)
    if piece is None or piece.summand or piece.axis not in {0, _CHANNELS}:
        return None
    if piece.axis == 0:
        return Sharded((piece, WHOLE, WHOLE), (piece,))
    groups, channels = view.attribute("num_groups"), None if shape is None else shape[_CHANNELS]
    if channels is None or scale is None or scale[0] not in {groups, channels}:
        return None
    each = channels // groups
    chosen = granules(piece.spans, each)
    if chosen == ((0, groups),):
        return None
    made = Piece(_CHANNELS, scaled(chosen, each))
    weight = Piece(0, chosen if scale[0] == groups else made.spans)
    attributes: dict[str, ir.Attr | None] = {"num_groups": ir.AttrInt64("num_groups", made.size // each)}
    return Sharded((made, weight, weight), (made,), attributes)


@rule("LRN")
def local_response_normalization(view: View, wanted: Wanted) -> Sharded | None:
    """Each element depends on neighbouring channels, so a piece of the channels needs a halo.

    The channels of the halo are computed too, from incomplete neighbourhoods, but are never read.
    """
    piece, shape = wanted[0], view.shape(0)
    if piece is None or piece.summand:
        return None
    if piece.axis != _CHANNELS:
        return Sharded((piece,), (piece,))
    channels, (start, stop) = None if shape is None else shape[_CHANNELS], piece.hull().spans[0]
    if channels is None:
        return None
    before = (view.attribute("size") - 1) // 2
    after = view.attribute("size") - 1 - before
    taken = split(_CHANNELS, [(max(start - before, 0), min(stop + after, channels))], channels)
    return None if taken.is_whole else Sharded((taken,), (taken,))


@rule("LpNormalization")
def lp_normalization(view: View, wanted: Wanted) -> Sharded | None:
    """Normalises along one axis; all others can be split."""
    piece, shape = wanted[0], view.shape(0)
    if piece is None or piece.summand or shape is None or piece.axis == view.attribute("axis", -1) % len(shape):
        return None
    return Sharded((piece,), (piece,))


def _by_channel(view: View, piece: Piece) -> tuple[Piece, ...]:
    """Pieces of the inputs that have one element per channel."""
    return (piece.along(0) if piece.axis == _CHANNELS else WHOLE,) * (len(view.node.inputs) - 1)
