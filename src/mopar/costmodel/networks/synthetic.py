"""Calibration models: networks of random blocks in the manner of real architectures."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from mopar.costmodel.networks.network import Network
from mopar.costmodel.networks.sequences import (
    graph_convolution,
    perceptron,
    recurrent,
    tables,
    transformer,
    windowed,
)
from mopar.costmodel.networks.vision import BLOCKS, convolutional

_Recipe = Callable[[Network], list[str]]
RECIPES: dict[str, _Recipe] = {
    "transformer": transformer,
    **{block: partial(convolutional, block=block) for block in BLOCKS},
    "recurrent": recurrent,
    "windowed": windowed,
    "tables": tables,
    "perceptron": perceptron,
    "graph": graph_convolution,
}
_OFTEN = ("transformer", "inverted", "bottleneck", "recurrent", "transformer")
"""Kinds that a round has once or twice more: what most models are made of, with the most that varies."""


def names() -> Iterator[str]:
    """Names of calibration models without end: each round has every kind, in an order that stops well anywhere."""
    number = 0
    while True:
        for kind in (*RECIPES, *_OFTEN):
            yield f"{kind}-{number}"
            number += 1


def write(name: str, path: Path) -> Path:
    """Write a calibration model; the same name makes the same model.

    Args:
        name: of ``names``.
        path: of the ONNX file; its weights go beside it.
    """
    kind, _, number = name.rpartition("-")
    net = Network(kind, np.random.default_rng([int(number), 2404]))
    net.save(path, RECIPES[kind](net))
    return path
