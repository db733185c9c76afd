"""Blocks of convolutional networks, as torch exports them."""

import numpy as np

from mopar.costmodel.networks.network import Network

ACTIVATIONS = ("Relu", "Clip", "HardSwish", "Silu")


def conv(
    net: Network, x: str, channels: int, kernel: int = 3, *, stride: int = 1, groups: int = 1, pad: int | None = None
) -> str:
    """A convolution with a bias."""
    _, depth, height, width = net.shapes[x]
    pad = kernel // 2 if pad is None else pad
    fan_in = depth // groups * kernel * kernel
    weight = net.weight(channels, depth // groups, kernel, kernel, fan_in=fan_in)
    bias = net.weight(channels, fan_in=100)
    size = [(extent + 2 * pad - kernel) // stride + 1 for extent in (height, width)]
    return net.add(
        "Conv", x, weight, bias, shape=(1, channels, *size),
        kernel_shape=[kernel, kernel], pads=[pad] * 4, strides=[stride, stride], group=groups,
    )  # fmt: skip


def activate(net: Network, x: str, kind: str) -> str:
    """An activation; ``Silu`` as the sigmoid and the product that it is exported as."""
    if kind == "Silu":
        return net.same("Mul", x, net.same("Sigmoid", x))
    if kind == "Clip":
        return net.same("Clip", x, net.scalar(0.0), net.scalar(6.0))
    return net.same(kind, x)


def plain(net: Network, x: str, channels: int, stride: int) -> str:
    """Two 3x3 convolutions, as in VGG."""
    x = activate(net, conv(net, x, channels, stride=stride), "Relu")
    return activate(net, conv(net, x, channels), "Relu")


def basic(net: Network, x: str, channels: int, stride: int) -> str:
    """A residual block of two 3x3 convolutions."""
    y = activate(net, conv(net, x, channels, stride=stride), "Relu")
    y = conv(net, y, channels)
    return activate(net, net.same("Add", y, _shortcut(net, x, channels, stride)), "Relu")


def _shortcut(net: Network, x: str, channels: int, stride: int) -> str:
    if stride == 1 and net.shapes[x][1] == channels:
        return x
    return conv(net, x, channels, 1, stride=stride)


def bottleneck(net: Network, x: str, channels: int, stride: int) -> str:
    """1x1, 3x3 (sometimes grouped), 1x1."""
    inner = max(channels // 4, 16)
    groups = int(net.random.choice([1, 1, max(inner // 16, 1), min(32, inner)]))
    groups = groups if inner % groups == 0 else 1
    y = activate(net, conv(net, x, inner, 1), "Relu")
    y = activate(net, conv(net, y, inner, 3, stride=stride, groups=groups), "Relu")
    y = conv(net, y, channels, 1)
    return activate(net, net.same("Add", y, _shortcut(net, x, channels, stride)), "Relu")


def inverted(net: Network, x: str, channels: int, stride: int) -> str:
    """Expand, depthwise, squeeze and excitation in half of them, project."""
    kind, kernel = str(net.random.choice(ACTIVATIONS)), int(net.random.choice([3, 3, 5, 7]))
    depth = net.shapes[x][1]
    inner = depth * int(net.random.choice([2, 3, 4, 6]))
    y = activate(net, conv(net, x, inner, 1), kind)
    y = activate(net, conv(net, y, inner, kernel, stride=stride, groups=inner), kind)
    if net.random.random() < 0.5:
        y = squeeze_excitation(net, y)
    y = conv(net, y, channels, 1)
    return net.same("Add", y, x) if stride == 1 and depth == channels else y


def squeeze_excitation(net: Network, x: str) -> str:
    """Channels weighed by what they hold on average."""
    channels = net.shapes[x][1]
    if net.random.random() < 0.5:
        y = net.add("GlobalAveragePool", x, shape=(1, channels, 1, 1))
    else:
        y = net.add("ReduceMean", x, net.ints(2, 3), shape=(1, channels, 1, 1), keepdims=1)
    y = activate(net, conv(net, y, max(channels // 16, 8), 1), "Relu")
    gate = net.same(str(net.random.choice(["Sigmoid", "HardSigmoid"])), conv(net, y, channels, 1))
    return net.same("Mul", x, gate)


def convnext(net: Network, x: str, channels: int, stride: int) -> str:
    """A 7x7 depthwise convolution, then a perceptron over channels."""
    if stride > 1 or net.shapes[x][1] != channels:
        x = conv(net, x, channels, 2, stride=2, pad=0) if stride > 1 else conv(net, x, channels, 1)
    _, _, height, width = net.shapes[x]
    y = net.transpose(conv(net, x, channels, 7, groups=channels), 0, 2, 3, 1)
    y = net.same("LayerNormalization", y, net.weight(channels, fan_in=1), net.weight(channels, fan_in=1), axis=-1)
    y = net.add("Add", net.matmul(y, net.weight(channels, 4 * channels, fan_in=channels)),
                net.weight(4 * channels, fan_in=100), shape=(1, height, width, 4 * channels))  # fmt: skip
    y = net.matmul(net.same("Gelu", y), net.weight(4 * channels, channels, fan_in=4 * channels))
    y = net.transpose(net.same("Add", y, net.weight(channels, fan_in=100)), 0, 3, 1, 2)
    scaled = net.same("Mul", y, net.value(np.full((channels, 1, 1), 0.5, np.float32)))
    return net.same("Add", scaled, x)


def dense(net: Network, x: str, channels: int, stride: int) -> str:
    """Three layers that each see all before them, then a transition."""
    growth = max(channels // 8, 8)
    for _ in range(3):
        y = activate(net, conv(net, _normed(net, x), 4 * growth, 1), "Relu")
        x = net.concat([x, conv(net, y, growth)], 1)
    x = conv(net, _normed(net, x), channels, 1)
    return pool(net, x, "AveragePool", 2, 2) if stride > 1 else x


def _normed(net: Network, x: str) -> str:
    channels = net.shapes[x][1]
    scale, shift, mean = (net.weight(channels, fan_in=100) for _ in range(3))
    variance = net.value(np.ones(channels, np.float32))
    return net.same("Relu", net.same("BatchNormalization", x, scale, shift, mean, variance))


def inception(net: Network, x: str, channels: int, stride: int) -> str:
    """Four branches side by side."""
    part = max(channels // 4 // 8 * 8, 8)
    branches = [activate(net, conv(net, x, part, 1), "Relu")]
    for kernel in (3, 5):
        y = activate(net, conv(net, x, max(part // 2, 8), 1), "Relu")
        branches.append(activate(net, conv(net, y, part, kernel), "Relu"))
    y = pool(net, x, str(net.random.choice(["MaxPool", "AveragePool"])), 3, 1)
    branches.append(activate(net, conv(net, y, part, 1), "Relu"))
    joined = net.concat(branches, 1)
    return pool(net, joined, "MaxPool", 3, 2) if stride > 1 else joined


def shuffle(net: Network, x: str, channels: int, stride: int) -> str:
    """Half the channels through a depthwise branch, then the halves interleaved."""
    channels += channels % 2
    if stride > 1 or net.shapes[x][1] != channels:
        left = conv(net, conv(net, x, net.shapes[x][1], 3, stride=stride, groups=net.shapes[x][1]), channels // 2, 1)
        right = x
    else:
        half = (1, channels // 2, *net.shapes[x][2:])
        left, right = net.add_many("Split", x, shapes=[half, half], axis=1, num_outputs=2)
    y = activate(net, conv(net, right, channels // 2, 1), "Relu")
    y = conv(net, y, channels // 2, 3, stride=stride, groups=channels // 2)
    y = net.concat([left, activate(net, conv(net, y, channels // 2, 1), "Relu")], 1)
    _, _, height, width = net.shapes[y]
    y = net.transpose(net.reshape(y, 1, 2, channels // 2, height, width), 0, 2, 1, 3, 4)
    return net.reshape(y, 1, channels, height, width)


def pool(net: Network, x: str, operator: str, kernel: int, stride: int) -> str:
    """A pooling that keeps the size where ``stride`` is 1."""
    _, channels, height, width = net.shapes[x]
    pad = (kernel - 1) // 2
    size = [(extent + 2 * pad - kernel) // stride + 1 for extent in (height, width)]
    return net.add(operator, x, shape=(1, channels, *size), kernel_shape=[kernel, kernel], strides=[stride, stride],
                   pads=[pad] * 4)  # fmt: skip


BLOCKS = {
    "plain": plain,
    "basic": basic,
    "bottleneck": bottleneck,
    "inverted": inverted,
    "convnext": convnext,
    "dense": dense,
    "inception": inception,
    "shuffle": shuffle,
}


def convolutional(net: Network, block: str) -> list[str]:
    """A network of three to five stages of one kind of block; returns its output."""
    random = net.random
    side = int(random.choice([128, 160, 192, 224, 224, 256, 299]))
    width = int(random.choice([16, 24, 32, 32, 40, 48, 64, 64, 96]))
    x = net.input("x", (1, 3, side, side))
    kernel, stride = ((3, 2), (7, 2), (3, 1), (4, 4))[int(random.integers(0, 4))]
    x = activate(net, conv(net, x, width, kernel, stride=stride, pad=0 if stride == 4 else None), "Relu")
    if stride < 4 and random.random() < 0.6:
        x = pool(net, x, "MaxPool", 3, 2)
    if net.shapes[x][2] > 112:
        x = pool(net, x, "MaxPool", 3, 2)
    for stage in range(int(random.integers(3, 5))):
        width = int(width * random.choice([1, 1.5, 2])) // 8 * 8
        for repeat in range(int(random.integers(1, 4))):
            x = BLOCKS[block](net, x, width, 2 if repeat == 0 and stage else 1)
    return [_head(net, x)]


def _head(net: Network, x: str) -> str:
    """A mean over the picture and a classifier, or VGG's perceptron."""
    _, channels, height, width = net.shapes[x]
    if net.random.random() < 0.25 and channels * height * width < 30_000:
        flat = net.add("Flatten", x, shape=(1, channels * height * width))
        return _linear(net, net.same("Relu", _linear(net, flat, int(net.random.choice([1024, 2048, 4096])))), 1000)
    mean = net.add("GlobalAveragePool", x, shape=(1, channels, 1, 1))
    return _linear(net, net.add("Flatten", mean, shape=(1, channels)), 1000)


def _linear(net: Network, x: str, width: int) -> str:
    depth = net.shapes[x][-1]
    weight, bias = net.weight(width, depth, fan_in=depth), net.weight(width, fan_in=100)
    return net.add("Gemm", x, weight, bias, shape=(*net.shapes[x][:-1], width), transB=1)
