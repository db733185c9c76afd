"""Convolutions: blocked (NCHWc) and plain, by the kernel that the engine takes for them.

The blocked kernels of ONNX Runtime compute up to four blocks of filters and six pixels of a row at once
(onnxruntime/core/mlas/lib/snchwc.cpp); what does not fill them is wasted. A block has as many filters as the CPU's
layout has channels.
"""

import math

from mopar.engine.blocked import own_block
from mopar.engine.work.common import Work, filled, log2p, product, shape_of, traffic
from mopar.engine.work.facts import NodeFacts

NCHWC = "com.microsoft.nchwc"
_FILTER_BLOCKS, _ROW_PIXELS = 4, 6
_COSTLY_ACTIVATIONS = {"HardSigmoid", "Sigmoid", "Tanh"}


def conv_work(node: NodeFacts) -> Work:
    """A Conv, with the sum and the activation that are fused into it."""
    kernel, out = shape_of(node.given(1)), shape_of(node.outputs[0])
    channels_out, depth = kernel[0], kernel[1]
    area, group = product(kernel[2:]), node.number("group", 1)
    pixels, width = product(out[2:]), out[-1] if len(out) > 2 else 1
    flops = 2.0 * product(out) * depth * area
    read, written, weights = traffic(node)
    family = _family(node, depth=depth, group=group, channels_out=channels_out, area=area)
    strides = node.ints("strides", (1,))
    activation = str(node.attributes.get("activation", ""))
    blocks = math.ceil(channels_out / group / own_block())
    row = pixels if area == 1 and max(strides) == 1 else width
    features = (
        log2p(depth),
        log2p(channels_out / group),
        log2p(group),
        log2p(area),
        log2p(pixels),
        log2p(width),
        float(max(strides)),
        filled(blocks, _FILTER_BLOCKS),
        filled(row, _ROW_PIXELS),
        float(len(node.inputs) > 3 and node.inputs[3] is not None),
        1.0 + (activation in _COSTLY_ACTIVATIONS) if activation else 0.0,
        log2p(flops / max(read + written + weights, 1.0)),
        log2p(weights),
        float(max(node.ints("dilations", (1,))) > 1),
    )
    scratch = 4.0 * depth * area * pixels if family == "conv_plain" and area > 1 else 0.0
    return Work(family, node.operator, flops, read, written, weights, features, scratch)


def _family(node: NodeFacts, *, depth: int, group: int, channels_out: int, area: int) -> str:
    if node.domain != NCHWC:
        return "conv_plain_depthwise" if depth == 1 and group > 1 else "conv_plain"
    if group > 1 and depth == 1 and group >= channels_out - own_block():
        return "conv_depthwise"
    if group > 1:
        return "conv_grouped"
    if depth % own_block():
        return "conv_first"
    return "conv_pointwise" if area == 1 else "conv_direct"


def conv_transpose_work(node: NodeFacts) -> Work:
    """A ConvTranspose: each input pixel times the kernel, then scattered."""
    kernel, taken, out = shape_of(node.given(1)), shape_of(node.given(0)), shape_of(node.outputs[0])
    flops = 2.0 * product(taken) * product(kernel[1:])
    read, written, weights = traffic(node)
    features = (log2p(kernel[0]), log2p(kernel[1]), log2p(product(kernel[2:])), log2p(product(out[2:])))
    return Work("conv_transpose", node.operator, flops, read, written, weights, features)
