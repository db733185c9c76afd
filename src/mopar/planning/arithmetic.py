"""What a call takes and costs: DESIGN's section 4, once, for numbers and for arrays of numbers.

A call's time has two parts. *Inside* the function it computes, receives, decodes, encodes and sends:
that is CPU work, is billed, and stretches when the function has less than a CPU. *Outside* it travels:
that is latency alone.
"""

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mopar.types import PlatformLimits, PriceBook, Profile
from mopar.types.profile import COLD_HALF_MS, IDLE_HALF_MS

Floats = npt.NDArray[np.float64]
Num = TypeVar("Num", float, Floats)

MIB = 1024.0 * 1024.0
# Durations and sizes come from sums of floats: what is a hair above a whole unit is that unit.
_HAIR = 1e-9
_DIVIDED = 0.75
"""Of a layer's time, what two threads take at most where they are taken to divide all of it."""


@dataclass(frozen=True, slots=True)
class CallCosts:
    """What a call takes beyond computing, on a CPU of its own.

    Attributes:
        inside_ms, outside_ms: per call.
        cold_call_ms, cold_ms, wake_ms: per call, as far as others compute in between (see ``found_cold_ms``).
        inside_ms_per_mib, outside_ms_per_mib: per MiB of tensor that enters or leaves.
    """

    inside_ms: float
    outside_ms: float
    cold_call_ms: float
    cold_ms: float
    wake_ms: float
    inside_ms_per_mib: float
    outside_ms_per_mib: float


def call_costs(profile: Profile, limits: PlatformLimits) -> CallCosts:
    """The costs of a call on a platform: its own figures, or the profile's measurement.

    The profile measures a tensor that crosses, written by one function and read by the next: each of the
    two pays half. A platform's figure counts for each direction, since a body travels both ways. Functions share
    cores, and so find them cold, only where the profile was measured.
    """
    runtime = profile.runtime
    here = limits.hop_ms is None
    if limits.hop_ms is None:
        inside_ms, outside_ms = runtime.hop_billed_ms, runtime.hop_ms - runtime.hop_billed_ms
    else:
        inside_ms = limits.hop_ms * limits.hop_billed_share
        outside_ms = limits.hop_ms - inside_ms
    per_mib = runtime.wire_ms_per_mib / 2 if limits.hop_ms_per_mib is None else limits.hop_ms_per_mib
    return CallCosts(
        inside_ms=inside_ms,
        outside_ms=outside_ms,
        cold_call_ms=runtime.cold_call_ms if here else 0.0,
        cold_ms=runtime.cold_ms if here else 0.0,
        wake_ms=runtime.wake_ms if here else 0.0,
        inside_ms_per_mib=per_mib * limits.wire_billed_share,
        outside_ms_per_mib=per_mib * (1 - limits.wire_billed_share),
    )


def step_costs(profile: Profile, limits: PlatformLimits) -> CallCosts:
    """The costs of a further step of functions that compute a slice side by side.

    Where the profile was measured, they hand each other tensors without a call in between, and stay awake; on a
    platform with figures of its own each step is a call.
    """
    costs, exchange_ms = call_costs(profile, limits), profile.runtime.exchange_ms
    if limits.hop_ms is not None or exchange_ms is None:
        return costs
    return replace(costs, inside_ms=0.0, outside_ms=exchange_ms, cold_call_ms=0.0, cold_ms=0.0, wake_ms=0.0)


def found_cold_ms(costs: CallCosts, compute_ms: Num, whole_ms: float) -> tuple[Num, Num]:
    """What a call takes more, inside its function and outside, that computes for so long of a model's ``whole_ms``.

    While the other functions compute, they empty its caches, and its core goes to sleep.
    """
    others_ms = (whole_ms - compute_ms) * (whole_ms > compute_ms)
    idle = others_ms / (others_ms + IDLE_HALF_MS)
    lengthy = costs.cold_ms * compute_ms / (compute_ms + COLD_HALF_MS) * others_ms / (whole_ms or 1.0)
    return costs.cold_call_ms * idle + lengthy, costs.wake_ms * idle


def elapsed_ms(profile: Profile, threads: int = 1) -> list[float]:
    """Engine time of the first ``n`` layers, for n = 0 .. number of layers; the last is the whole's.

    Layers are measured inside the whole run. The rest of its time, which no layer claims (and which is
    negative where measuring slowed the layers down), is spread over them by their share. With two threads, for
    profiles that ``has_two_threads``, each layer takes its own part of that.
    """
    layers = [max(layer.latency_ms, 0.0) for layer in profile.layers]
    total = sum(layers)
    if total <= 0:
        layers, total = [1.0] * len(layers), float(len(layers))
    both = [layer.two_threads or 1.0 for layer in profile.layers] if threads > 1 else [1.0] * len(layers)
    parts = (latency_ms / total * faster for latency_ms, faster in zip(layers, both, strict=True))
    return list(accumulate((part * profile.whole.latency_ms for part in parts), initial=0.0))


def beside_ms(profile: Profile, limits: PlatformLimits) -> list[float]:
    """``elapsed_ms`` of layers that functions compute side by side in parts, to take each part's share of.

    Functions that share a machine keep each other waiting for its memory, as two threads of an operator do. Those
    halve most layers, but for that: twice a layer's time with two threads over that with one is how much longer its
    parts take. Layers that threads hardly speed up, as the engine does not divide them or only runs them in turns, are
    taken to be slowed down like the others, on average. On a platform with call costs of its own, where functions are
    machines of their own, nothing is slowed down.
    """
    alone = elapsed_ms(profile)
    if limits.hop_ms is not None or not has_two_threads(profile):
        return alone
    layers = np.diff(np.array(alone))
    slower = np.maximum(2.0 * np.array([layer.two_threads or 1.0 for layer in profile.layers]), 1.0)
    divided = slower < 2.0 * _DIVIDED
    usual = np.average(slower[divided], weights=layers[divided]) if layers[divided].sum() > 0 else 1.0
    return list(accumulate((layers * np.where(divided, slower, usual)).tolist(), initial=0.0))


def has_two_threads(profile: Profile) -> bool:
    """Whether it is known what every layer takes with two threads."""
    return all(layer.two_threads is not None for layer in profile.layers)


def round_up(value: Num, unit: float) -> Num:
    """``value`` rounded up to a multiple of ``unit``; unchanged where ``unit`` is 0."""
    if unit <= 0:
        return value
    return -((_HAIR - value / unit) // 1.0) * unit


def billed_ms(book: PriceBook, duration_ms: Num) -> Num:
    """What a call of that duration is billed for."""
    rounded = round_up(duration_ms, book.billing_unit_ms)
    return rounded + (book.billing_min_ms - rounded) * (rounded < book.billing_min_ms)


def held_usd_per_ms(book: PriceBook, memory_mib: Num, cpu: Num) -> Num:
    """Price of a millisecond of a function of ``memory_mib`` and ``cpu`` CPUs."""
    return (memory_mib / 1024.0 * book.gib_s_usd + cpu * book.vcpu_s_usd) / 1000.0


def call_usd(book: PriceBook, memory_mib: Num, cpu: Num, billed_ms: Num, init_ms: Num) -> Num:
    """Price of one call: what it holds, the fee, and its share of cold starts."""
    cold_rate = book.cold_rate if book.init_billed else 0.0
    return held_usd_per_ms(book, memory_mib, cpu) * (billed_ms + init_ms * cold_rate) + book.request_usd


def init_ms(profile: Profile, file_bytes: Num) -> Num:
    """From exec to ready of a function with ``file_bytes`` of weights: the whole's loading, by its share."""
    loading_ms = max(profile.whole.init_ms - profile.runtime.init_ms, 0.0)
    total = sum(weight.file_bytes for weight in profile.weights)
    return file_bytes * (loading_ms / total if total else 0.0) + profile.runtime.init_ms
