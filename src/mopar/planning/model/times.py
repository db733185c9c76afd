"""Engine time of runs of layers, in one function and in parallel parts."""

from itertools import accumulate

import numpy as np

from mopar.types import Profile

_DIVIDED = 0.75
"""A layer counts as divided where its time with two threads is below this share of that with one."""


def elapsed_ms(profile: Profile, threads: int = 1) -> list[float]:
    """Engine time of the first ``n`` layers, for n = 0 .. number of layers; the last is the whole's.

    Layers are measured inside the whole run. Its unattributed time (negative where measuring slowed the layers down) is
    distributed over them in proportion. With two threads, it is distributed in proportion to times with two threads;
    where these are not known for every layer, the time is that with one.
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
    """Like ``elapsed_ms``, for layers that functions compute in parallel parts; a part takes its share of it.

    Functions that share a machine compete for its memory bandwidth, like two threads of an operator. Threads would
    halve the time of most layers, if not for that: the slowdown of a layer's parts is twice its time with two threads
    over that with one. Layers that threads hardly speed up, since the engine does not divide them, are assumed to be
    slowed down like the others, on average. Where functions are separate machines, nothing is slowed down.
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
    """Whether every layer's time with two threads is known."""
    return all(layer.two_threads is not None for layer in profile.layers)
