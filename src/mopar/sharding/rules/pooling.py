"""Pooling: by rows (with a halo), channels and images; averages also as a summand of a summand."""

from mopar.sharding.pieces import SUMMAND
from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.windows import along, windows_of

_SPATIAL = 2
"""The first spatial axis of ``(n, c, ..)``."""


@rule("MaxPool", "AveragePool", "LpPool")
def pool(view: View, wanted: Wanted) -> Sharded | None:
    """Of ``X (n, c, ..)``. Where MaxPool tells indices too, they count elements of all of X."""
    piece, *others = wanted
    if piece is None or any(other is not None for other in others):
        return None
    unasked = (None,) * len(others)
    if piece.summand:
        return _summand(view) if view.op_type == "AveragePool" else None
    assert piece.axis is not None
    if piece.axis < _SPATIAL:
        return Sharded((piece,), (piece, *unasked))
    kernel = view.attribute_ints("kernel_shape")
    windows = None if kernel is None else windows_of(view, kernel)
    found = None if windows is None else along(windows, piece)
    if found is None or windows is None:
        return None
    if any(pad >= windows.kernel[i % len(windows.kernel)] for i, pad in enumerate((*windows.begin, *windows.end))):
        return None  # The engine takes no such padding, unless it comes by auto_pad.
    taken, attributes, made = found
    return Sharded((taken,), (made, *unasked), attributes)


@rule("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(view: View, wanted: Wanted) -> Sharded | None:
    """Channels and images for themselves; all places of one together."""
    piece = wanted[0]
    if piece is None:
        return None
    if piece.summand:
        return _summand(view) if view.op_type == "GlobalAveragePool" else None
    assert piece.axis is not None
    return Sharded((piece,), (piece,)) if piece.axis < _SPATIAL else None


def _summand(view: View) -> Sharded | None:
    """An average is linear."""
    return Sharded((SUMMAND,), (SUMMAND,), share=1.0) if view.sums(0) else None
