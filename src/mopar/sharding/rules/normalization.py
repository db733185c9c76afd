"""Normalisation over trailing or given axes: split along every other axis."""

from mopar.sharding.pieces import Piece
from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.broadcast import broadcast, together
from mopar.sharding.rules.linear import normal, ranked

_MICROSOFT = "com.microsoft"


@rule("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def trailing(view: View, wanted: Wanted) -> Sharded | None:
    """Inputs ``X``, a scale and optionally a bias, broadcast to ``X``; statistics keep the rank of ``X``."""
    return _trailing(view, wanted, ranked(view, view.attribute("axis", -1)))


@rule("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=_MICROSOFT)
def skip_normalization(view: View, wanted: Wanted) -> Sharded | None:
    """Normalises ``X`` plus the skip input (broadcast to it) over the last axis; the sum is an output too."""
    return _trailing(view, wanted, ranked(view, -1))


@rule("MeanVarianceNormalization")
def mean_variance(view: View, wanted: Wanted) -> Sharded | None:
    """Normalises over the given axes, by default all but the second."""
    piece, shape, axes = wanted[0], view.shape(0), view.attribute_ints("axes")
    if piece is None or piece.axis is None or shape is None:
        return None
    over = {normal(axis, len(shape)) for axis in ([0, 2, 3] if axes is None else axes)}
    return None if piece.axis in over else Sharded((piece,), (piece,))


def _trailing(view: View, wanted: Wanted, axis: int | None) -> Sharded | None:
    """All outputs split along one axis before those that are normalised over."""
    piece, shape = together(wanted), view.shape(0)
    if piece is None or piece.axis is None or shape is None or axis is None or piece.axis >= axis:
        return None
    inputs: list[Piece | None] = [piece]
    for number in range(1, len(view.node.inputs)):
        found = None if view.value(number) is None else broadcast(view.shape(number), piece, shape)
        if found is None and view.value(number) is not None:
            return None
        inputs.append(found)
    return Sharded(tuple(inputs), (piece,) * len(wanted))
