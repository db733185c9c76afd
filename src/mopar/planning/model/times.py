"""Engine time of runs of layers, in one function and in parts side by side."""

from itertools import accumulate

import numpy as np

from mopar.types import Profile

_DIVIDED = 0.75
"""Of a layer's time, what two threads take at most where they are taken to divide all of it."""


def elapsed_ms(profile: Profile, threads: int = 1) -> list[float]:
    """Engine time of the first ``n`` layers, for n = 0 .. number of layers; the last is the whole's.

    Layers are measured inside the whole run. The rest of its time, which no layer claims (and which is
    negative where measuring slowed the layers down), is spread over them by their share. With two threads, each layer
    takes its own part of that; where it is not known of every layer what two threads take, the time is that with one.
    """
    layers = [max(layer.latency_ms, 0.0) for layer in profile.layers]
    total = sum(layers)
    if total <= 0:
        layers, total = [1.0] * len(layers), float(len(layers))
    both = threads > 1 and has_two_threads(profile)
    faster = [layer.two_threads or 1.0 for layer in profile.layers] if both else [1.0] * len(layers)
    parts = (latency_ms / total * factor for latency_ms, factor in zip(layers, faster, strict=True))
    return list(accumulate((part * profile.whole.latency_ms for part in parts), initial=0.0))


def beside_ms(profile: Profile, *, shares_host: bool) -> list[float]:
    """``elapsed_ms`` of layers that functions compute side by side in parts, to take each part's share of.

    Functions that share a machine keep each other waiting for its memory, as two threads of an operator do. Those
    halve most layers, but for that: twice a layer's time with two threads over that with one is how much longer its
    parts take. Layers that threads hardly speed up, as the engine does not divide them or only runs them in turns, are
    taken to be slowed down like the others, on average. Where functions are machines of their own, nothing is slowed
    down.
    """
    alone = elapsed_ms(profile)
    if not shares_host or not has_two_threads(profile):
        return alone
    layers = np.diff(np.array(alone))
    slower = np.maximum(2.0 * np.array([layer.two_threads or 1.0 for layer in profile.layers]), 1.0)
    divided = slower < 2.0 * _DIVIDED
    usual = np.average(slower[divided], weights=layers[divided]) if layers[divided].sum() > 0 else 1.0
    return list(accumulate((layers * np.where(divided, slower, usual)).tolist(), initial=0.0))


def has_two_threads(profile: Profile) -> bool:
    """Whether it is known what every layer takes with two threads."""
    return all(layer.two_threads is not None for layer in profile.layers)
