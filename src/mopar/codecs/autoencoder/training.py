"""Training an autoencoder with PyTorch: Adam on what the decoded values differ by, through rounded codes.

Gradients pass rounding unchanged (Y. Bengio, N. Leonard, A. Courville, Estimating or Propagating Gradients Through
Stochastic Neurons, 2013). Some samples are kept apart, and the weights that are best on them win, those of the start
included.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mopar.codecs.autoencoder.state import STEPS, Floats, State
from mopar.codecs.channels import rows
from mopar.codecs.codec import Samples
from mopar.codecs.mixing import are_first

_SEED = 0
_RATE = 0.01
"""Of a weight's usual size, changed in a step at most."""
_BIAS = 0.1
_APART = 8
"""Of so many samples one is kept apart."""
_BATCH_ELEMENTS = 1 << 17
_FEWEST_STEPS, _MOST_STEPS = 60, 1500
_MOST_PRODUCTS = 4e11
"""Of numbers, in all steps together: half a minute on one core at most."""
_CHECKS = 12
"""How often the samples kept apart are looked at."""
_CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)

Weights = Mapping[str, Tensor]


def trained(state: State, samples: Samples, axis: int) -> State:
    """The state after training; the same for the same arguments, on one machine.

    Args:
        state: to begin with.
        samples: of the tensor.
        axis: of its channels.
    """
    training, apart = (_normalised(state, part, axis) for part in _divided(samples))
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in state.weights.items()}
    with _one_thread():
        best, least = state.weights, _error(weights, apart)
        for _ in _trainings(weights, training, [_RATE * size for size in _sizes(state.weights)]):
            error = _error(weights, apart)
            if error < least:
                best, least = {name: weight.detach().numpy().copy() for name, weight in weights.items()}, error
    return replace(state, weights=best)


def _trainings(weights: Weights, groups: list[Tensor], rates: list[float]) -> Iterator[None]:
    """Train weights in place, with pauses to look at what was reached."""
    steps = _steps(weights, groups)
    optimiser = torch.optim.Adam(
        [{"params": [one], "lr": rate} for one, rate in zip(weights.values(), rates, strict=True)]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step, batch in enumerate(_batches(groups, steps), start=1):
        optimiser.zero_grad()
        loss = functional.mse_loss(decoded(weights, encoded(weights, batch)), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % max(steps // _CHECKS, 1) == 0 or step == steps:
            yield


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Threads wait for each other by spinning: on a busy machine steps this small would take fifty times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def encoded(weights: Weights, values: Tensor) -> Tensor:
    """Codes of up to 1, in steps of 8 bits."""
    code = (_through(weights, "encoder", values) * STEPS).clamp(-STEPS - 1, STEPS)
    return (code + (code.round() - code).detach()) / STEPS


def decoded(weights: Weights, codes: Tensor) -> Tensor:
    """Values of codes."""
    return _through(weights, "decoder", codes)


def _through(weights: Weights, end: str, values: Tensor) -> Tensor:
    direct = _layer(values, weights[f"{end}.direct"], weights[f"{end}.direct.bias"])
    hidden = functional.relu(_layer(values, weights[f"{end}.hidden"], weights[f"{end}.hidden.bias"]))
    return direct + _layer(hidden, weights[f"{end}.out"], None)


def _layer(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    dims = values.ndim - 2
    if not dims:
        return functional.linear(values, weight, bias)
    kernel = weight if weight.ndim > 2 else weight.reshape(*weight.shape, *[1] * dims)
    return _CONVOLUTIONS[dims - 1](values, kernel, bias, padding=[size // 2 for size in kernel.shape[2:]])


def _divided(samples: Samples) -> tuple[Samples, Samples]:
    """Samples to train on, and others; a single one is both."""
    if len(samples) == 1:
        return samples, samples
    apart = range(len(samples) - 1, -1, -_APART)
    rest = [sample for number, sample in enumerate(samples) if number not in apart]
    return rest, [samples[number] for number in apart]


def _normalised(state: State, samples: Samples, axis: int) -> list[Tensor]:
    """The samples in the state's units: pictures with others of their sizes, everything else as rows of channels."""
    groups: dict[tuple[int, ...], list[Floats]] = {}
    for sample in samples:
        first = are_first(axis, sample.ndim)
        values = sample if first else rows([sample], axis)
        mean = state.mean.reshape(-1, *[1] * (values.ndim - 2))
        groups.setdefault(values.shape[1:], []).append((values - mean) / np.float32(state.scale))
    return [torch.from_numpy(np.concatenate(group)) for group in groups.values()]


def _batches(groups: list[Tensor], steps: int) -> Iterator[Tensor]:
    """Drawn from all groups, in proportion to their elements."""
    draw = np.random.default_rng(_SEED)
    shares = np.array([group.numel() for group in groups], np.float64)
    for _ in range(steps):
        group = groups[draw.choice(len(groups), p=shares / shares.sum())]
        yield group[torch.from_numpy(draw.integers(0, len(group), _batch(group)))]


def _batch(group: Tensor) -> int:
    return max(min(_BATCH_ELEMENTS // group[0].numel(), len(group)), 1)


def _steps(weights: Weights, groups: list[Tensor]) -> int:
    """As many as may be: a clock that bounded the time would make the result depend on the machine's load."""
    channels = groups[0].shape[1]
    places = max(_batch(group) * group[0].numel() // channels for group in groups)
    products = 3 * places * sum(weight.numel() for weight in weights.values())  # forward, and backward twice
    return int(min(max(_MOST_PRODUCTS / products, _FEWEST_STEPS), _MOST_STEPS))


def _sizes(weights: Mapping[str, Floats]) -> Iterator[float]:
    """What the weights of each layer are like: encoders' are far smaller than decoders'."""
    for name, weight in weights.items():
        end, layer, *bias = name.split(".")
        direct = weights[f"{end}.direct"]
        made = 1.0 if layer == "hidden" else float(np.sqrt(np.mean(np.square(direct)) * direct[0].size))
        yield made * (_BIAS if bias else 1 / np.sqrt(weight[0].size))


def _error(weights: Weights, groups: list[Tensor]) -> float:
    """The mean squared error of all elements."""
    off, count = 0.0, 0
    with torch.no_grad():
        for group in groups:
            for batch in torch.split(group, _batch(group)):
                off += float(torch.sum(torch.square(decoded(weights, encoded(weights, batch)) - batch)))
                count += batch.numel()
    return off / max(count, 1)
