"""Activations of ONNX Runtime's own domain, which split like the standard ones."""

from mopar.sharding.rule import Sharded, View, Wanted, rule
from mopar.sharding.rules.broadcast import broadcast

_MICROSOFT = "com.microsoft"


@rule("Gelu", "FastGelu", "BiasGelu", "QuickGelu", domain=_MICROSOFT)
def gelu(view: View, wanted: Wanted) -> Sharded | None:
    """Input ``X`` and optionally a bias along its last axis, which is added before the activation."""
    piece, shape = wanted[0], view.shape(0)
    if piece is None or piece.axis is None or shape is None:
        return None
    if view.value(1) is None:
        return Sharded((piece, *([None] * (len(view.node.inputs) - 1))), (piece,))
    bias = broadcast(view.shape(1), piece, shape)
    return None if bias is None else Sharded((piece, bias), (piece,))
