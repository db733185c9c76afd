"""Pooling: split by rows (with a halo), channels and batch; averages also as a summand of a summand."""

from mopar.sharding.pieces import SUMMAND
from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.windows import along, windows_of

_SPATIAL = 2
"""The first spatial axis of ``(n, c, ..)``."""


@rule("MaxPool", "AveragePool", "LpPool")
def pool(view: View, wanted: Wanted) -> Sharded | None:
    """Input ``X (n, c, ..)``. MaxPool's optional indices refer to elements of the whole of X."""
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
        return None  # The engine refuses such padding unless it comes from auto_pad.
    taken, attributes, made = found
    return Sharded((taken,), (made, *unasked), attributes)


@rule("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(view: View, wanted: Wanted) -> Sharded | None:
    """Split by channels and batch; spatial positions stay together."""
    piece = wanted[0]
    if piece is None:
        return None
    if piece.summand:
        return _summand(view) if view.op_type == "GlobalAveragePool" else None
    assert piece.axis is not None
    return Sharded((piece,), (piece,)) if piece.axis < _SPATIAL else None


def _summand(view: View) -> Sharded | None:
    """A summand of an average, which is linear."""
    return Sharded((SUMMAND,), (SUMMAND,), share=1.0) if view.sums(0) else None
