"""What an autoencoder is made of: six layers, and the scales that its training takes out of them.

    code  = direct(x) + out(relu(hidden(x)))       rounded to 8 bits
    value = direct(code) + out(relu(hidden(code)))

Training begins with the linear autoencoder of the same size as the direct layers, and with 0 as the outer ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mopar.codecs.channels import rows
from mopar.codecs.codec import Samples
from mopar.codecs.linear import LINEAR
from mopar.codecs.mixing import are_first
from mopar.types import TensorSpec

Floats = NDArray[np.float32]
STEPS = 127
"""The largest code."""
_HIDDEN = 4
"""Hidden channels for each of the code's."""
_REACH = 3
"""Places of a picture's code, along each axis, that a hidden channel of the decoder reads."""
_SEED = 0
_SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class State:
    """An autoencoder in units in which channels have mean 0 and all elements together variance 1, and codes reach 1.

    Attributes:
        weights: of the layers, by ``encoder.direct`` and so on: output channels x input channels x kernel; biases of
            all but the ``out`` layers as ``encoder.direct.bias``.
        mean: of each channel.
        scale: of all elements.
    """

    weights: Mapping[str, Floats]
    mean: Floats
    scale: float


def initial(text: str, spec: TensorSpec, samples: Samples) -> State:
    """Where training starts: what gives the values that the linear autoencoder does."""
    number = int(text.partition(":")[2])
    linear = LINEAR.fit(f"{LINEAR.name}:{number}", spec, samples)
    assert linear.axis is not None, "it was offered"
    mean, directions = linear.arrays["mean"], linear.arrays["directions"]
    deviations = rows(samples, linear.axis) - mean
    scale = float(np.sqrt(np.mean(np.square(deviations, dtype=np.float64)))) + _SMALLEST
    reach = linear.arrays["scale"] * STEPS / scale
    kernel = (_REACH,) * (linear.rank - 2) if are_first(linear.axis, linear.rank) else ()
    channels, hidden = len(mean), min(_HIDDEN * number, len(mean))
    draw = np.random.default_rng(_SEED)
    read = number * int(np.prod(kernel))
    drawn = {
        "encoder.hidden": draw.standard_normal((hidden, channels)) / np.sqrt(channels),
        "decoder.hidden": draw.standard_normal((hidden, number, *kernel)) / np.sqrt(read),
    }
    weights = {
        "encoder.direct": directions.T / reach[:, None],
        "encoder.direct.bias": np.zeros(number),
        "encoder.hidden.bias": np.zeros(hidden),
        "encoder.out": np.zeros((number, hidden)),
        "decoder.direct": directions * reach,
        "decoder.direct.bias": np.zeros(channels),
        "decoder.hidden.bias": np.zeros(hidden),
        "decoder.out": np.zeros((channels, hidden)),
        **drawn,
    }
    return State({name: array.astype(np.float32) for name, array in weights.items()}, mean, scale)


def exported(state: State) -> dict[str, Floats]:
    """The weights in the tensor's own units, with codes up to ``STEPS``."""
    found: dict[str, NDArray[np.floating[Any]]] = dict(state.weights)
    mean, scale = state.mean, state.scale
    for layer, gain in (("direct", STEPS / scale), ("hidden", 1 / scale)):
        inner = found[f"encoder.{layer}"]
        found[f"encoder.{layer}"] = inner * gain
        bias = found[f"encoder.{layer}.bias"] * (gain * scale)
        found[f"encoder.{layer}.bias"] = bias - found[f"encoder.{layer}"] @ mean
    found["encoder.out"] = found["encoder.out"] * STEPS
    found["decoder.direct"] = found["decoder.direct"] * (scale / STEPS)
    found["decoder.direct.bias"] = found["decoder.direct.bias"] * scale + mean
    found["decoder.hidden"] = found["decoder.hidden"] / STEPS
    found["decoder.out"] = found["decoder.out"] * scale
    return {name: array.astype(np.float32) for name, array in found.items()}
