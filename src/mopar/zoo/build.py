"""Builds the PyTorch module of a model, with prepared random weights."""

import importlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mopar.zoo.inputs import draw_inputs
from mopar.zoo.model import Built, ZooModel
from mopar.zoo.weights import prepare

_BATCH, _BATCHES = 4, 2
_FIRST_SEED = 1_000
"""First seed of the requests that weights are prepared with; far from the seeds that users choose."""


def build_module(model: ZooModel) -> nn.Module:
    """The module in evaluation mode; with the same library versions each call gives the same weights.

    Raises:
        ImportError: a library that the model needs is missing.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = bare_module(model).eval()
        if not model.trained:
            prepare(made, [_batch(model, number) for number in range(_BATCHES)])
    return made


def bare_module(model: ZooModel) -> nn.Module:
    """The module as its library initialises it. Raises ImportError where the library is missing."""
    assert isinstance(model.origin, Built)
    file, _, function = model.origin.builder.partition(":")
    made: nn.Module = getattr(importlib.import_module(f"mopar.zoo.{file}"), function)()
    return made


def sample_tensors(model: ZooModel, seed: int, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """A sample request as tensors, with the given sizes of symbolic dimensions."""
    return {name: torch.from_numpy(value) for name, value in draw_inputs(model, seed, sizes).items()}


def _batch(model: ZooModel, number: int) -> dict[str, Tensor]:
    """Several requests concatenated along the batch axis, where each input has one of size 1; else one request."""
    first = _FIRST_SEED + number * _BATCH
    drawn = [sample_tensors(model, seed, model.sizes) for seed in range(first, first + _BATCH)]
    if any(value.shape[:1] != (1,) for value in drawn[0].values()):
        return drawn[0]
    return {name: torch.cat([request[name] for request in drawn]) for name in drawn[0]}
