"""DepthToSpace and SpaceToDepth: they move elements between channels and blocks of positions."""

from mopar.sharding.pieces import Piece, Span, granules, merge, scaled
from mopar.sharding.rule import Sharded, View, Wanted, rule

_CHANNELS = 1


@rule("DepthToSpace")
def depth_to_space(view: View, wanted: Wanted) -> Sharded | None:
    """``(n, c * block^2, h, w)`` to ``(n, c, h * block, w * block)``; the channels' order is by ``mode``."""
    piece, shape, block = wanted[0], view.shape(0), view.attribute("blocksize")
    if piece is None or piece.summand or piece.axis == 0:
        return _as_requested(view, piece)
    if piece.axis != _CHANNELS:
        places = Piece(piece.axis, granules(piece.spans, block))
        return Sharded((places,), (Piece(piece.axis, scaled(places.spans, block)),))
    if view.attribute_string("mode", "DCR") == "CRD":
        return Sharded((Piece(_CHANNELS, scaled(piece.spans, block * block)),), (piece,))
    channels = None if shape is None else shape[_CHANNELS]
    if channels is None:
        return None
    taken = _repeated(piece.spans, channels // (block * block), block * block)
    return Sharded((Piece(_CHANNELS, taken),), (piece,))


@rule("SpaceToDepth")
def space_to_depth(view: View, wanted: Wanted) -> Sharded | None:
    """``(n, c, h * block, w * block)`` to ``(n, block^2 * c, h, w)``; positions in a block vary slowest."""
    piece, shape, block = wanted[0], view.shape(0), view.attribute("blocksize")
    if piece is None or piece.summand or piece.axis == 0:
        return _as_requested(view, piece)
    if piece.axis != _CHANNELS:
        return Sharded((Piece(piece.axis, scaled(piece.spans, block)),), (piece,))
    channels = None if shape is None else shape[_CHANNELS]
    if channels is None:
        return None
    taken = merge(span for start, stop in piece.spans for span in _folded(start, stop, channels))
    if taken == ((0, channels),):
        return None
    return Sharded((Piece(_CHANNELS, taken),), (Piece(_CHANNELS, _repeated(taken, channels, block * block)),))


def _repeated(spans: tuple[Span, ...], channels: int, times: int) -> tuple[Span, ...]:
    """The same channels of every position in a block."""
    return merge((place * channels + start, place * channels + stop) for place in range(times) for start, stop in spans)


def _folded(start: int, stop: int, channels: int) -> list[Span]:
    """The channels that occur in a span over positions and channels."""
    if stop - start >= channels:
        return [(0, channels)]
    first, last = start % channels, (stop - 1) % channels + 1
    return [(first, last)] if first < last else [(0, last), (first, channels)]


def _as_requested(view: View, piece: Piece | None) -> Sharded | None:
    """Pieces along the batch, and summands, are requested of the input as they are."""
    if piece is None or (piece.summand and not view.sums(0)):
        return None
    return Sharded((piece,), (piece,), share=1.0 if piece.summand else None)
