"""Transformers, recurrent networks, perceptrons with tables, and graph convolutions, as torch exports them."""

import numpy as np
from onnx import TensorProto

from mopar.costmodel.networks.network import Network
from mopar.costmodel.networks.vision import conv


def linear(net: Network, x: str, width: int) -> str:
    """A product with a weight, and a bias."""
    depth = net.shapes[x][-1]
    y = net.matmul(x, net.weight(depth, width, fan_in=depth))
    return net.same("Add", y, net.weight(width, fan_in=100))


def normed(net: Network, x: str) -> str:
    """A layer norm over the last axis."""
    width = net.shapes[x][-1]
    ones, shift = net.value(np.ones(width, np.float32)), net.weight(width, fan_in=100)
    return net.same("LayerNormalization", x, ones, shift, axis=-1, epsilon=1e-5)


def attention(net: Network, x: str, heads: int, *, joined: bool, masked: bool) -> str:
    """Scaled dot products of queries and keys, as nodes of their own."""
    batch, length, width = net.shapes[x]
    if joined:
        parts = [(batch, length, width)] * 3
        made = net.add_many("Split", linear(net, x, 3 * width), shapes=parts, axis=2, num_outputs=3)
    else:
        made = [linear(net, x, width) for _ in range(3)]
    split = [net.reshape(part, batch, length, heads, width // heads) for part in made]
    query, value = net.transpose(split[0], 0, 2, 1, 3), net.transpose(split[2], 0, 2, 1, 3)
    scores = net.matmul(query, net.transpose(split[1], 0, 2, 3, 1))
    scores = net.same("Mul", scores, net.scalar(float(np.sqrt(heads / width))))
    if masked:
        mask = np.triu(np.full((length, length), -1e4, np.float32), 1)[None, None]
        scores = net.same("Add", scores, net.value(mask))
    context = net.matmul(net.same("Softmax", scores, axis=-1), value)
    context = net.reshape(net.transpose(context, 0, 2, 1, 3), batch, length, width)
    return linear(net, context, width)


def gelu_of(net: Network, x: str, kind: str) -> str:
    """An activation of a perceptron: exact, by tanh as its eight nodes, Relu, or quick."""
    if kind == "tanh":
        cube = net.same("Pow", x, net.scalar(3.0))
        inner = net.same("Add", x, net.same("Mul", cube, net.scalar(0.044715)))
        bent = net.same("Tanh", net.same("Mul", inner, net.scalar(0.7978845608)))
        return net.same("Mul", net.same("Mul", x, net.scalar(0.5)), net.same("Add", bent, net.scalar(1.0)))
    if kind == "quick":
        return net.same("Mul", x, net.same("Sigmoid", net.same("Mul", x, net.scalar(1.702))))
    return net.same(kind, x)


def transformer(net: Network) -> list[str]:
    """Two to five blocks over tokens or patches."""
    random = net.random
    width = int(random.choice([64, 128, 128, 192, 256, 256, 320, 384, 512, 640, 768, 768, 1024]))
    heads = width // int(random.choice([16, 32, 64, 64]))
    x = _patches(net, width) if random.random() < 0.35 else _tokens(net, width)
    joined, masked, before = (bool(random.random() < 0.5) for _ in range(3))
    kind = str(random.choice(["Gelu", "Gelu", "tanh", "Relu", "quick"]))
    factor = int(random.choice([2, 4, 4]))
    for _ in range(int(random.integers(2, 5))):
        x = _block(net, x, heads, kind, factor * width, joined=joined, masked=masked, before=before)
    if random.random() < 0.3:
        x = net.matmul(x, net.weight(width, int(random.choice([2000, 8000, 16000])), fan_in=width))
    return [x]


def _block(net: Network, x: str, heads: int, kind: str, inner: int, *, joined: bool, masked: bool, before: bool) -> str:
    """Attention and a perceptron, each added to what it read; norms before them or after."""
    y = attention(net, normed(net, x) if before else x, heads, joined=joined, masked=masked)
    x = net.same("Add", x, y)
    x = x if before else normed(net, x)
    y = gelu_of(net, linear(net, normed(net, x) if before else x, inner), kind)
    x = net.same("Add", x, linear(net, y, net.shapes[x][-1]))
    return x if before else normed(net, x)


def _tokens(net: Network, width: int) -> str:
    length = int(net.random.choice([16, 32, 48, 64, 96, 128, 128, 192, 256]))
    ids = net.input("ids", (1, length), TensorProto.INT64)
    rows = int(net.random.choice([1000, 8000, 30000]))
    x = net.add("Gather", net.weight(rows, width, fan_in=4), ids, shape=(1, length, width), axis=0)
    return normed(net, net.same("Add", x, net.weight(1, length, width, fan_in=4)))


def _patches(net: Network, width: int) -> str:
    size = int(net.random.choice([16, 32]))
    x = net.input("x", (1, 3, 224, 224))
    x = conv(net, x, width, size, stride=size, pad=0)
    count = net.shapes[x][2] * net.shapes[x][3]
    x = net.transpose(net.reshape(x, 1, width, count), 0, 2, 1)
    x = net.concat([net.weight(1, 1, width, fan_in=4), x], 1)
    return net.same("Add", x, net.weight(1, count + 1, width, fan_in=4))


def windowed(net: Network) -> list[str]:
    """Attention within windows of a picture that is rolled between blocks, as in Swin."""
    width, side, window = int(net.random.choice([64, 96, 128, 192])), int(net.random.choice([28, 56])), 7
    x = net.input("x", (1, 3, 4 * side, 4 * side))
    x = normed(net, net.transpose(conv(net, x, width, 4, stride=4, pad=0), 0, 2, 3, 1))
    for number in range(int(net.random.integers(2, 4))):
        y = _rolled(net, normed(net, x), window // 2) if number % 2 else normed(net, x)
        tiles = side // window
        y = net.transpose(net.reshape(y, 1, tiles, window, tiles, window, width), 0, 1, 3, 2, 4, 5)
        y = net.reshape(y, tiles * tiles, window * window, width)
        y = attention(net, y, width // 32, joined=True, masked=bool(number % 2))
        y = net.transpose(net.reshape(y, 1, tiles, tiles, window, window, width), 0, 1, 3, 2, 4, 5)
        x = net.same("Add", x, net.reshape(y, 1, side, side, width))
        y = linear(net, net.same("Gelu", linear(net, normed(net, x), 4 * width)), width)
        x = net.same("Add", x, y)
    return [x]


def _rolled(net: Network, x: str, by: int) -> str:
    batch, height, width, channels = net.shapes[x]
    ends = ((by, height), (0, by))
    parts = [
        net.add("Slice", x, net.ints(start), net.ints(stop), net.ints(1), net.ints(1),
                shape=(batch, stop - start, width, channels))
        for start, stop in ends
    ]  # fmt: skip
    return net.concat(parts, 1)


def recurrent(net: Network) -> list[str]:
    """Three to five recurrent layers of different kinds and sizes, and a classifier per step."""
    random = net.random
    steps, width = int(random.choice([16, 32, 64, 100, 128])), int(random.choice([64, 128, 256, 400, 512]))
    x = net.input("x", (steps, 1, width))
    for _ in range(int(random.integers(3, 6))):
        hidden = int(random.choice([64, 128, 192, 256, 384, 512, 650, 800]))
        x = _recurrent_layer(net, x, str(random.choice(["LSTM", "LSTM", "GRU"])), hidden, int(random.choice([1, 2])))
    return [linear(net, x, int(random.choice([32, 1000, 10000])))]


def _recurrent_layer(net: Network, x: str, kind: str, hidden: int, directions: int) -> str:
    steps, batch, width = net.shapes[x]
    gates = 4 if kind == "LSTM" else 3
    weights = [
        net.weight(directions, gates * hidden, width, fan_in=width),
        net.weight(directions, gates * hidden, hidden, fan_in=hidden),
        net.weight(directions, 2 * gates * hidden, fan_in=100),
    ]
    extra = {} if kind == "LSTM" else {"linear_before_reset": 1}
    y = net.add(
        kind, x, *weights, shape=(steps, directions, batch, hidden), hidden_size=hidden,
        direction="bidirectional" if directions == 2 else "forward", **extra,
    )  # fmt: skip
    return net.reshape(net.transpose(y, 0, 2, 1, 3), steps, batch, directions * hidden)


def tables(net: Network) -> list[str]:
    """Rows of several tables and a perceptron's answer, every pair multiplied, and another perceptron."""
    random = net.random
    count, width = int(random.integers(4, 27)), int(random.choice([16, 32, 64]))
    x = net.input("dense", (1, 13))
    for size in (int(random.choice([128, 512])), int(random.choice([64, 256])), width):
        x = net.same("Relu", _gemm(net, x, size))
    vectors = [net.reshape(x, 1, 1, width)]
    for k in range(count):
        ids = net.input(f"ids{k}", (1, 1), TensorProto.INT64)
        table = net.weight(int(random.choice([1000, 10000, 50000])), width, fan_in=4)
        vectors.append(net.add("Gather", table, ids, shape=(1, 1, width), axis=0))
    joined = net.concat(vectors, 1)
    pairs = net.matmul(joined, net.transpose(joined, 0, 2, 1))
    flat = net.reshape(pairs, 1, (count + 1) ** 2)
    for size in (int(random.choice([256, 1024])), int(random.choice([256, 512]))):
        flat = net.same("Relu", _gemm(net, flat, size))
    return [net.same("Sigmoid", _gemm(net, flat, 1))]


def perceptron(net: Network) -> list[str]:
    """Wide fully connected layers over one or a few rows."""
    rows, width = int(net.random.choice([1, 1, 4, 16, 64])), int(net.random.choice([256, 512, 1024]))
    x = net.input("x", (rows, width))
    for _ in range(int(net.random.integers(3, 6))):
        x = net.same("Relu", _gemm(net, x, int(net.random.choice([256, 512, 1024, 2048, 4096]))))
    return [x]


def _gemm(net: Network, x: str, width: int) -> str:
    depth = net.shapes[x][-1]
    weight, bias = net.weight(width, depth, fan_in=depth), net.weight(width, fan_in=100)
    return net.add("Gemm", x, weight, bias, shape=(net.shapes[x][0], width), transB=1)


def graph_convolution(net: Network) -> list[str]:
    """Two or three layers over a fixed graph, its edges as a matrix or as gathered and scattered rows."""
    random = net.random
    nodes, width = int(random.choice([500, 1500, 2700])), int(random.choice([64, 256, 700, 1400]))
    x = net.input("x", (nodes, width))
    by_matrix = bool(random.random() < 0.5)
    matrix = net.weight(nodes, nodes, fan_in=nodes) if by_matrix else ""
    for size in (int(random.choice([16, 64, 128])), int(random.choice([7, 16, 64]))):
        x = net.matmul(x, net.weight(net.shapes[x][-1], size, fan_in=net.shapes[x][-1]))
        x = net.same("Relu", net.matmul(matrix, x) if by_matrix else _passed(net, x, 4 * nodes))
    return [x]


def _passed(net: Network, x: str, edges: int) -> str:
    """Rows gathered along edges, weighed, and added up where the edges end."""
    nodes, width = net.shapes[x]
    ends = net.random.integers(0, nodes, (2, edges))
    rows = net.add("Gather", x, net.value(ends[0]), shape=(edges, width), axis=0)
    rows = net.same("Mul", rows, net.weight(edges, 1, fan_in=4))
    target = net.value(np.broadcast_to(ends[1][:, None], (edges, width)).copy())
    zeros = net.value(np.zeros((nodes, width), np.float32))
    return net.add("ScatterElements", zeros, target, rows, shape=(nodes, width), axis=0, reduction="add")
