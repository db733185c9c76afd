"""Random weights on which every layer tells: shared by all makers, imported by the exporting process alone."""

from collections.abc import Mapping, Sequence
from inspect import signature

import numpy as np
import torch
from torch import nn

from benchmarks.architectures.model import Arrays
from mopar.zoo.weights import prepare


def prepared(module: nn.Module, requests: Sequence[Sequence[Arrays]]) -> nn.Module:
    """The module in evaluation mode, its weights prepared with batches of requests."""
    names = list(signature(module.forward).parameters)
    prepare(module.eval(), [dict(zip(names, _joined(some).values(), strict=False)) for some in requests])
    return module


def _joined(requests: Sequence[Arrays]) -> Mapping[str, torch.Tensor]:
    """Several requests as one where every input's first axis is a batch of one, else the first of them."""
    first = requests[0]
    if any(value.shape[:1] != (1,) for value in first.values()):
        return {name: torch.from_numpy(value) for name, value in first.items()}
    return {name: torch.from_numpy(np.concatenate([request[name] for request in requests])) for name in first}
