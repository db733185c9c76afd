"""Blocks over ``(n, c, h, w)`` and ``(n, c, d, h, w)``."""

from typing import Any

import numpy as np

from tests.models.drawn.dense import activated
from tests.models.drawn.drawing import Drawing, Tensor, size
from tests.models.drawn.norms import channel_normed


def conv(
    d: Drawing, x: Tensor, channels: int, kernel: int | list[int], stride: int = 1, group: int = 1, dilation: int = 1
) -> Tensor:
    """With padding that keeps the size, divided by the stride."""
    rank = len(x.dims) - 2
    kernels = kernel if isinstance(kernel, list) else [kernel] * rank
    pads = [(one - 1) * dilation // 2 for one in kernels]
    before = size(x.dims[1])
    fan_in = before // group * int(np.prod(kernels))
    weights = [d.floats(channels, before // group, *kernels, fan_in=fan_in)]
    weights += [d.floats(channels)] if d.chance(0.7) else []
    after = [
        (size(dim) + 2 * pad - (one - 1) * dilation - 1) // stride + 1
        for dim, pad, one in zip(x.dims[2:], pads, kernels, strict=True)
    ]
    attributes = {"pads": [*pads, *pads], "strides": [stride] * rank, "group": group, "dilations": [dilation] * rank}
    return d.op("Conv", x, *weights, dims=(x.dims[0], channels, *after), **attributes)


def _least(x: Tensor) -> int:
    return min(size(dim) for dim in x.dims[2:])


def chain(d: Drawing, x: Tensor) -> Tensor:
    """A convolution, perhaps normalised, and an activation."""
    stride = d.pick(1, 1, 2) if _least(x) >= 6 else 1
    dilation = d.pick(1, 1, 2) if _least(x) >= 8 else 1
    made = conv(d, x, d.number(3, 14), d.pick(1, 3, 3, 5), stride, dilation=dilation)
    return activated(d, channel_normed(d, made) if d.chance() else made)


def bottleneck(d: Drawing, x: Tensor) -> Tensor:
    """A residual block."""
    channels, inner = size(x.dims[1]), d.number(2, 10)
    made = activated(d, conv(d, x, inner, 1))
    made = activated(d, conv(d, made, inner, 3))
    made = conv(d, made, channels, 1)
    made = channel_normed(d, made) if d.chance() else made
    return activated(d, d.op("Add", made, x) if d.chance() else d.op("Add", x, made))


def inverted(d: Drawing, x: Tensor) -> Tensor:
    """A mobile block: wide, depthwise, with gates, narrow."""
    channels, wide = size(x.dims[1]), d.number(6, 20)
    made = activated(d, conv(d, x, wide, 1))
    made = activated(d, conv(d, made, wide, d.number(1, 2) * 2 + 1, group=wide))
    made = gates(d, made) if d.chance() else made
    made = conv(d, made, channels, 1)
    return d.op("Add", made, x) if d.chance(0.7) else made


def gates(d: Drawing, x: Tensor) -> Tensor:
    """Squeeze and excitation."""
    channels, rank = size(x.dims[1]), len(x.dims)
    dims = (*x.dims[:2], *[1] * (rank - 2))
    if d.chance():
        mean = d.op("GlobalAveragePool", x, dims=dims)
    else:
        mean = d.reduced("ReduceMean", x, range(2, rank), dims, 1)
    inner = d.number(2, 6)
    gate = conv(d, d.op("Relu", conv(d, mean, inner, 1)), channels, 1)
    return d.op("Mul", x, d.op(d.pick("Sigmoid", "HardSigmoid"), gate))


def grouped(d: Drawing, x: Tensor) -> Tensor:
    """Channels in groups, shuffled between two convolutions."""
    groups, each = d.number(2, 4), d.number(1, 4)
    channels = groups * each
    made = activated(d, conv(d, x, channels, 1))
    made = conv(d, made, groups * d.number(1, 4), 3, group=groups)
    now = size(made.dims[1])
    if d.chance():
        spatial = made.dims[2:]
        apart = d.reshape(made, (made.dims[0], groups, now // groups, *spatial))
        order = [0, 2, 1, *range(3, len(apart.dims))]
        made = d.reshape(d.transpose(apart, *order), made.dims)
    return activated(d, made)


def pooled(d: Drawing, x: Tensor) -> Tensor:
    """To half the size, or the same."""
    rank = len(x.dims) - 2
    halves = _least(x) >= 4 and d.chance(0.7)
    kernel, stride, pad = (2, 2, 0) if halves else (3, 1, 1)
    after = [(size(dim) + 2 * pad - kernel) // stride + 1 for dim in x.dims[2:]]
    attributes: dict[str, Any] = {"kernel_shape": [kernel] * rank, "strides": [stride] * rank}
    how = d.pick("pads", "pads", "ceil", "same")
    if how == "same":
        attributes["auto_pad"] = d.pick("SAME_UPPER", "SAME_LOWER")
        after = [-(-size(dim) // stride) for dim in x.dims[2:]]
    else:
        attributes["pads"] = [pad] * (2 * rank)
    if how == "ceil":
        attributes["ceil_mode"] = 1
        after = [-(-(size(dim) + 2 * pad - kernel) // stride) + 1 for dim in x.dims[2:]]
    operator = d.pick("MaxPool", "AveragePool")
    if operator == "AveragePool":
        attributes["count_include_pad"] = d.pick(0, 1)
    return chain(d, d.op(operator, x, dims=(*x.dims[:2], *after), **attributes))


def larger(d: Drawing, x: Tensor, times: int = 2) -> Tensor:
    """Upsampled."""
    rank = len(x.dims) - 2
    after = [size(dim) * times for dim in x.dims[2:]]
    dims, channels = (*x.dims[:2], *after), size(x.dims[1])
    how = d.pick("nearest", "linear", "transposed", "sizes", "blocks") if rank == 2 else "nearest"
    if how == "transposed":
        weight = d.floats(channels, channels, times, times, fan_in=channels)
        return d.op("ConvTranspose", x, weight, d.floats(channels), dims=dims, strides=[times] * 2)
    if how == "blocks":
        wide = conv(d, x, channels * times * times, 1)
        return d.op("DepthToSpace", wide, dims=dims, blocksize=times, mode=d.pick("DCR", "CRD"))
    scales = d.value(np.array([1, 1, *[times] * rank], np.float32))
    mode = "linear" if how == "linear" else "nearest"
    transformation = d.pick("half_pixel", "asymmetric", "align_corners") if mode == "linear" else "asymmetric"
    rounding = {} if mode == "linear" else {"nearest_mode": "floor"}
    if how == "sizes" and not isinstance(x.dims[0], str):
        sizes = d.ints(*(size(dim) for dim in dims))
        return d.op(
            "Resize", x, "", "", sizes, dims=dims, mode=mode, coordinate_transformation_mode=transformation, **rounding
        )
    return d.op(
        "Resize", x, "", scales, dims=dims, mode=mode, coordinate_transformation_mode=transformation, **rounding
    )


def stamped(d: Drawing, x: Tensor) -> Tensor:
    """A transposed convolution whose outputs overlap, or leave gaps."""
    rank, channels = len(x.dims) - 2, size(x.dims[1])
    kernel, stride = d.number(2, 4), d.number(1, 3)
    begin, end = (d.number(0, (kernel - 1) // 2) for _ in range(2))
    extra = d.number(0, stride - 1)
    group = d.pick(*(one for one in (1, 1, 2, channels) if channels % one == 0))
    each = d.number(1, 4)
    weight = d.floats(channels, each, *[kernel] * rank, fan_in=channels)
    after = [(size(dim) - 1) * stride + kernel + extra - begin - end for dim in x.dims[2:]]
    if max(after) > 24:
        return bottleneck(d, x)
    attributes = {
        "strides": [stride] * rank,
        "pads": [*[begin] * rank, *[end] * rank],
        "output_padding": [extra] * rank,
    }
    bias = [d.floats(each * group)] if d.chance() else []
    made = d.op("ConvTranspose", x, weight, *bias, dims=(x.dims[0], each * group, *after), group=group, **attributes)
    return activated(d, made)


def rescaled(d: Drawing, x: Tensor) -> Tensor:
    """Resized to sizes that are no multiples."""
    if len(x.dims) != 4 or isinstance(x.dims[0], str):
        return inverted(d, x) if len(x.dims) == 4 else bottleneck(d, x)
    after = [max(2, size(dim) + d.number(-3, 4)) for dim in x.dims[2:]]
    dims = (*x.dims[:2], *after)
    mode = d.pick("linear", "cubic", "linear")
    transformation = d.pick("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    sizes = d.ints(*(size(dim) for dim in dims))
    return d.op("Resize", x, "", "", sizes, dims=dims, mode=mode, coordinate_transformation_mode=transformation)


def apart(d: Drawing, x: Tensor) -> Tensor:
    """Patches become channels, and back: by SpaceToDepth, or by a reshape to six axes."""
    if len(x.dims) != 4 or any(size(dim) % 2 for dim in x.dims[2:]):
        return chain(d, x)
    batch, channels, high, wide = x.dims[0], *(size(dim) for dim in x.dims[1:])
    dims = (batch, channels * 4, high // 2, wide // 2)
    if d.chance():
        made = d.op("SpaceToDepth", x, dims=dims, blocksize=2)
    else:
        six = d.reshape(x, (batch, channels, high // 2, 2, wide // 2, 2))
        made = d.reshape(d.transpose(six, 0, 1, 3, 5, 2, 4), dims)
    made = activated(d, conv(d, made, channels * 4, 1))
    six = d.reshape(made, (batch, 2, 2, channels, high // 2, wide // 2))
    return d.reshape(d.transpose(six, 0, 3, 4, 1, 5, 2), x.dims)


def hourglass(d: Drawing, x: Tensor) -> Tensor:
    """Down, and up again with a skip connection: a U-Net's level, perhaps two."""
    if any(size(dim) % 2 for dim in x.dims[2:]) or _least(x) < 4:
        return bottleneck(d, x)
    rank = len(x.dims) - 2
    before = activated(d, conv(d, x, d.number(3, 8), 3))
    half = [size(dim) // 2 for dim in before.dims[2:]]
    if d.chance():
        small = d.op("MaxPool", before, dims=(*before.dims[:2], *half), kernel_shape=[2] * rank, strides=[2] * rank)
    else:
        small = conv(d, before, d.number(3, 10), 3, 2)
    deep = all(dim % 2 == 0 and dim >= 4 for dim in half) and d.chance(0.4)
    small = hourglass(d, small) if deep else activated(d, conv(d, small, d.number(3, 12), 3))
    joined = d.concat([before, larger(d, small)] if d.chance() else [larger(d, small), before], 1)
    return activated(d, conv(d, joined, d.number(3, 10), 3))


def inception(d: Drawing, x: Tensor) -> Tensor:
    """Branches that are concatenated along channels."""
    branches = [activated(d, conv(d, x, d.number(2, 6), kernel)) for kernel in (1, 3, 5)[: d.number(2, 3)]]
    rank = len(x.dims) - 2
    if d.chance():
        pool = d.op("MaxPool", x, kernel_shape=[3] * rank, pads=[1] * 2 * rank, strides=[1] * rank)
        branches.append(activated(d, conv(d, pool, d.number(2, 6), 1)))
    return d.concat(branches, 1)


def dense_block(d: Drawing, x: Tensor) -> Tensor:
    """Each convolution reads all before it."""
    for _ in range(d.number(2, 3)):
        x = d.concat([x, activated(d, conv(d, x, d.number(2, 5), 3))], 1)
    return x


def padded(d: Drawing, x: Tensor) -> Tensor:
    """A Pad before a convolution without padding."""
    rank = len(x.dims) - 2
    pads = [d.number(0, 2) for _ in range(2 * rank)]
    mode = d.pick("constant", "constant", "reflect", "edge") if _least(x) > 2 else "constant"
    after = [size(dim) + pads[axis] + pads[rank + axis] for axis, dim in enumerate(x.dims[2:])]
    made = d.op("Pad", x, d.ints(0, 0, *pads[:rank], 0, 0, *pads[rank:]), dims=(*x.dims[:2], *after), mode=mode)
    return activated(d, conv(d, made, d.number(3, 8), 3))


def separable_in_time(d: Drawing, x: Tensor) -> Tensor:
    """For volumes: space first, then time, as in video networks."""
    made = activated(d, conv(d, x, d.number(3, 10), [1, 3, 3]))
    made = conv(d, made, size(x.dims[1]), [3, 1, 1])
    return activated(d, d.op("Add", made, x))


def pooled_to_flat(d: Drawing, x: Tensor) -> Tensor:
    """``(n, width)``, from all places or their mean."""
    rank = len(x.dims)
    places = int(np.prod([size(dim) for dim in x.dims[2:]]))
    channels = size(x.dims[1])
    if places * channels <= 128 and d.chance():
        return d.op("Flatten", x, dims=(x.dims[0], channels * places), axis=1)
    if d.chance():
        mean = d.op("GlobalAveragePool", x, dims=(*x.dims[:2], *[1] * (rank - 2)))
        return d.op("Flatten", mean, dims=x.dims[:2], axis=1)
    return d.reduced(d.pick("ReduceMean", "ReduceMax"), x, range(2, rank), x.dims[:2], 0)


def to_rows(d: Drawing, x: Tensor) -> Tensor:
    """``(n, places, channels)``, as a vision Transformer takes patches."""
    places = int(np.prod([size(dim) for dim in x.dims[2:]]))
    return d.transpose(d.reshape(x, (*x.dims[:2], places)), 0, 2, 1)


BLOCKS = (
    *(
        chain,
        chain,
        bottleneck,
        inverted,
        grouped,
        pooled,
        pooled,
        hourglass,
        hourglass,
        inception,
        dense_block,
        padded,
    ),
    *(stamped, rescaled, apart),
)
WAVE_BLOCKS = (chain, bottleneck, inverted, grouped, pooled, inception, dense_block, padded, stamped)
VOLUME_BLOCKS = (chain, stamped, bottleneck, separable_in_time, pooled, inverted, inception)
