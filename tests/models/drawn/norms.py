"""Normalisations, as operators and decomposed as by exporters."""

import numpy as np

from tests.models.drawn.drawing import Drawing, Tensor, size

_EPSILON = 1e-5
_LAYERS_ARE_OPERATORS = 17


def normed(d: Drawing, x: Tensor) -> Tensor:
    """Over the last axis."""
    how = d.pick("layer", "layer", "apart", "rms", "lp")
    if how == "layer" and d.opset < _LAYERS_ARE_OPERATORS:
        how = "apart"
    if how == "layer":
        return d.op("LayerNormalization", x, d.gains(x.width), d.floats(x.width), axis=-1)
    if how == "lp":
        return d.op("Mul", d.op("LpNormalization", x, axis=-1, p=2), d.scalar(np.sqrt(x.width)))
    centred = x
    if how == "apart":
        centred = d.op("Sub", x, _mean(d, x))
    square = d.op("Pow", centred, d.scalar(2.0)) if d.chance() else d.op("Mul", centred, centred)
    spread = d.op("Sqrt", d.op("Add", _mean(d, square), d.scalar(0.1)))
    made = d.op("Div", centred, spread) if d.chance() else d.op("Mul", centred, d.op("Reciprocal", spread))
    made = d.op("Mul", made, d.gains(x.width))
    return d.op("Add", made, d.floats(x.width)) if d.chance() else made


def _mean(d: Drawing, x: Tensor) -> Tensor:
    dims = (*x.dims[:-1], 1)
    return d.reduced("ReduceMean", x, [-1], dims, 1)


def channel_normed(d: Drawing, x: Tensor) -> Tensor:
    """Of ``(n, c, ..)``, by channels or groups of them."""
    channels = size(x.dims[1])
    how = d.pick("batch", "batch", "instance", "group", "last", *(["lrn"] if len(x.dims) == 4 else []))
    if how == "batch":
        variance = d.value((0.5 + np.abs(d.random.standard_normal(channels))).astype(np.float32))
        return d.op("BatchNormalization", x, d.gains(channels), d.floats(channels), d.floats(channels), variance)
    if how == "instance":
        return d.op("InstanceNormalization", x, d.gains(channels), d.floats(channels), epsilon=_EPSILON)
    if how == "lrn":
        return d.op("LRN", x, size=d.pick(3, 5))
    if how == "group":
        return _grouped(d, x, channels)
    rank = len(x.dims)
    moved = d.transpose(x, 0, *range(2, rank), 1)
    return d.transpose(normed(d, moved), 0, rank - 1, *range(1, rank - 1))


def _grouped(d: Drawing, x: Tensor, channels: int) -> Tensor:
    groups = d.pick(*(number for number in range(1, channels + 1) if channels % number == 0))
    spatial = [size(dim) for dim in x.dims[2:]]
    if channels // groups * int(np.prod(spatial)) < 8:
        return x
    flat = d.reshape(x, (x.dims[0], groups, channels // groups * int(np.prod(spatial))))
    inner = d.op(
        "InstanceNormalization", flat, d.value(np.ones(groups, np.float32)), d.value(np.zeros(groups, np.float32))
    )
    back = d.reshape(inner, x.dims)
    scale = d.op("Mul", back, d.gains(channels, *[1] * len(spatial)))
    return d.op("Add", scale, d.floats(channels, *[1] * len(spatial)))
