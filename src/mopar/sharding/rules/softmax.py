"""Softmax, LogSoftmax and Hardmax: split along every axis that is not normalised over."""

from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.linear import normal

_ONE_AXIS = 13
"""Opset from which on one axis is normalised over; before, that axis and all that follow it, flattened."""


@rule("Softmax", "LogSoftmax", "Hardmax")
def softmax(view: View, wanted: Wanted) -> Sharded | None:
    """The default axis is the last; before opset 13 the second."""
    piece, shape = wanted[0], view.shape(0)
    if piece is None or piece.axis is None or not shape:
        return None
    is_flattened = view.opset < _ONE_AXIS
    axis = normal(view.attribute("axis", 1 if is_flattened else -1), len(shape))
    is_free = piece.axis < axis if is_flattened else piece.axis != axis
    return Sharded((piece,), (piece,)) if is_free else None
