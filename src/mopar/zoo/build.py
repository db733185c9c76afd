"""The PyTorch module of a model, its random weights prepared."""

import importlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mopar.zoo.inputs import draw_inputs
from mopar.zoo.model import Built, ZooModel
from mopar.zoo.weights import prepare

_BATCH, _BATCHES = 4, 2
_FIRST_SEED = 1_000
"""Of the requests that weights are prepared with: far from those that anybody asks for."""


def build_module(model: ZooModel) -> nn.Module:
    """The module, in evaluation mode; the same weights at each call with the same versions of the libraries.

    Raises:
        ImportError: a library that it needs is missing.
    """
    assert isinstance(model.origin, Built)
    file, _, function = model.origin.builder.partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: nn.Module = getattr(importlib.import_module(f"mopar.zoo.{file}"), function)().eval()
        if not model.trained:
            prepare(made, [_batch(model, number) for number in range(_BATCHES)])
    return made


def sample_tensors(model: ZooModel, seed: int, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """A request as tensors, its symbolic dimensions of the given sizes."""
    return {name: torch.from_numpy(value) for name, value in draw_inputs(model, seed, sizes).items()}


def _batch(model: ZooModel, number: int) -> dict[str, Tensor]:
    """Several requests in one, where each input has an axis of size 1 for that; else one request."""
    first = _FIRST_SEED + number * _BATCH
    drawn = [sample_tensors(model, seed, model.sizes) for seed in range(first, first + _BATCH)]
    if any(value.shape[:1] != (1,) for value in drawn[0].values()):
        return drawn[0]
    return {name: torch.cat([request[name] for request in drawn]) for name in drawn[0]}
