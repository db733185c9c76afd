"""Sample inputs, drawn from a seed as the catalogue specifies."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mopar.zoo.catalogue import find_model
from mopar.zoo.model import Integers, Mask, Normal, Values, Words, ZooModel

Array = NDArray[np.generic]

_MOST_PADDING = 8


def zoo_inputs(name: str, seed: int = 0) -> dict[str, Array]:
    """A sample request for a model of the zoo; each seed gives other values.

    Raises:
        UsageError: the zoo has no such model.
    """
    model = find_model(name)
    return draw_inputs(model, seed, model.sizes)


def draw_inputs(model: ZooModel, seed: int, sizes: Mapping[str, int]) -> dict[str, Array]:
    """A sample request with the given sizes of symbolic dimensions."""
    rng = np.random.default_rng(seed)
    drawn = {}
    for item in model.inputs:
        shape = tuple(dim if isinstance(dim, int) else sizes[str(dim)] for dim in item.spec.shape or ())
        drawn[item.spec.name] = _draw(item.values, shape, rng, seed).astype(item.spec.dtype)
    return drawn


def _draw(values: Values, shape: tuple[int, ...], rng: np.random.Generator, seed: int) -> Array:
    match values:
        case Normal(std):
            return rng.standard_normal(shape) * std
        case Integers(below):
            return rng.integers(0, below, shape)
        case Mask():
            return np.broadcast_to(np.arange(shape[-1]) < shape[-1] - seed % _MOST_PADDING, shape)
        case Words(count):
            # The positions of a row's smallest random numbers are a random sample without replacement.
            chosen = np.argpartition(rng.random(shape), count, axis=-1)[..., :count]
            bags = np.zeros(shape)
            np.put_along_axis(bags, chosen, 1 / count, axis=-1)
            return bags
