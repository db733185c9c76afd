"""Random weights with which every layer affects the output; imported only by the exporting processes."""

from collections.abc import Mapping, Sequence
from inspect import signature

import numpy as np
import torch
from torch import nn

from benchmarks.architectures.model import Arrays
from mopar.zoo.weights import prepare


def prepared(module: nn.Module, requests: Sequence[Sequence[Arrays]]) -> nn.Module:
    """Return the module in evaluation mode, its weights prepared with batches of requests."""
    names = list(signature(module.forward).parameters)
    prepare(module.eval(), [dict(zip(names, _joined(some).values(), strict=False)) for some in requests])
    return module


def _joined(requests: Sequence[Arrays]) -> Mapping[str, torch.Tensor]:
    """Join requests into a batch where the first axis of every input is a batch of one; otherwise return the first."""
    first = requests[0]
    if any(value.shape[:1] != (1,) for value in first.values()):
        return {name: torch.from_numpy(value) for name, value in first.items()}
    return {name: torch.from_numpy(np.concatenate([request[name] for request in requests])) for name in first}
