"""Time of a call: inside its function, where it is CPU work and billed, and outside, where it only adds latency.

Inside, a call computes, receives, decodes, encodes and sends; that takes longer where the function has less than a CPU.
Outside is transfer. The formulas are written once, for numbers and for arrays of numbers.
"""

from dataclasses import dataclass, replace
from typing import Generic, Literal

from mopar.planning.model.codings import RAW
from mopar.planning.numbers import MIB, Num
from mopar.types import PlatformLimits, RuntimeCosts, TensorCoding
from mopar.types.profile import COLD_HALF_MS, IDLE_HALF_MS

Side = Literal["consumer", "producer"]
"""The side of a crossing tensor that a call is on: it reads the tensor, or produces it."""


@dataclass(frozen=True, slots=True)
class CallTime(Generic[Num]):
    """A call's time, or a part of it, inside its function and outside."""

    inside_ms: Num
    outside_ms: Num


@dataclass(frozen=True, slots=True)
class WireCosts:
    """Time that a MiB of a crossing tensor adds to one call."""

    inside_ms_per_mib: float
    outside_ms_per_mib: float


@dataclass(frozen=True, slots=True)
class CallCosts:
    """Time of a call beyond computing, with a CPU of its own.

    Attributes:
        inside_ms, outside_ms: per call.
        cold_call_ms, cold_ms, wake_ms: per call, in proportion to the time that others compute in between (see
            ``cold_cache_penalty``).
        consumer, producer: per tensor that the call reads, or produces.
    """

    inside_ms: float
    outside_ms: float
    cold_call_ms: float
    cold_ms: float
    wake_ms: float
    consumer: WireCosts
    producer: WireCosts


def call_costs(runtime: RuntimeCosts, limits: PlatformLimits) -> CallCosts:
    """The costs of a call: as measured where functions share memory on the profile's host, else the platform's figures.

    The profile measures a tensor that crosses, written by one function and read by the next: each of the two is charged
    half. A platform's figure counts for each direction, since a body is transferred both ways. Functions share cores,
    and so find their caches cold and cores idle, only on a host that they share.
    """
    here = limits.shares_host
    if limits.shares_memory:
        inside_ms, outside_ms = runtime.hop_billed_ms, runtime.hop_ms - runtime.hop_billed_ms
    else:
        inside_ms = limits.hop_ms * limits.hop_billed_share
        outside_ms = limits.hop_ms - inside_ms
    per_mib = runtime.wire_ms_per_mib / 2 if limits.shares_memory else limits.hop_ms_per_mib
    wire = WireCosts(per_mib * limits.wire_billed_share, per_mib * (1 - limits.wire_billed_share))
    return CallCosts(
        inside_ms=inside_ms,
        outside_ms=outside_ms,
        cold_call_ms=runtime.cold_call_ms if here else 0.0,
        cold_ms=runtime.cold_ms if here else 0.0,
        wake_ms=runtime.wake_ms if here else 0.0,
        consumer=wire,
        producer=wire,
    )


def step_costs(runtime: RuntimeCosts, limits: PlatformLimits) -> CallCosts:
    """The costs of a further step of functions that compute a slice in parallel.

    Where they share memory they exchange tensors without a call in between, and their cores do not idle; otherwise each
    step is a call.
    """
    costs = call_costs(runtime, limits)
    if not limits.shares_memory or runtime.exchange_ms is None:
        return costs
    return replace(costs, inside_ms=0.0, outside_ms=runtime.exchange_ms, cold_call_ms=0.0, cold_ms=0.0, wake_ms=0.0)


def crossing_time(costs: CallCosts, size_bytes: Num, side: Side, coding: TensorCoding = RAW) -> CallTime[Num]:
    """Time that one tensor that crosses a cut adds to a call: the only place that prices a crossing tensor.

    Encoding is part of its producer's time inside, decoding part of every reader's; what the gateway encodes and
    decodes in place of a function is outside.

    Args:
        costs: of the transport.
        size_bytes: of the tensor, or of the share of it that crosses.
        side: whether the call reads or produces it.
        coding: of the tensor.
    """
    reads = side == "consumer"
    wire = costs.consumer if reads else costs.producer
    coding_ms_per_mib = coding.decode_ms_per_mib if reads else coding.encode_ms_per_mib
    latency_ms_per_mib = coding.read_ms_per_mib if reads else coding.made_ms_per_mib
    size_mib = size_bytes / MIB
    sent_mib = size_mib * coding.ratio
    return CallTime(
        sent_mib * wire.inside_ms_per_mib + size_mib * coding_ms_per_mib,
        sent_mib * wire.outside_ms_per_mib + size_mib * latency_ms_per_mib,
    )


def cold_cache_penalty(costs: CallCosts, compute_ms: Num, whole_ms: float) -> CallTime[Num]:
    """Cold-cache penalty and idle wake-up latency of a call that computes for part of a model's ``whole_ms``.

    While the other functions compute, they evict its data from the caches (inside), and its core enters an idle state
    (outside).
    """
    others_ms = (whole_ms - compute_ms) * (whole_ms > compute_ms)
    idle = others_ms / (others_ms + IDLE_HALF_MS)
    lengthy = costs.cold_ms * compute_ms / (compute_ms + COLD_HALF_MS) * others_ms / (whole_ms or 1.0)
    return CallTime(costs.cold_call_ms * idle + lengthy, costs.wake_ms * idle)


def call_time(costs: CallCosts, compute_ms: Num, whole_ms: float, crossing: CallTime[Num]) -> CallTime[Num]:
    """A call's time with one CPU per thread.

    Args:
        costs: of the call, or of a further step.
        compute_ms: the engine's time, and what the cut adds to it; in ms.
        whole_ms: the engine's time for the whole model.
        crossing: ``crossing_time`` of all tensors that the call reads and produces, added up.
    """
    cold = cold_cache_penalty(costs, compute_ms, whole_ms)
    return CallTime(
        compute_ms + costs.inside_ms + cold.inside_ms + crossing.inside_ms,
        costs.outside_ms + cold.outside_ms + crossing.outside_ms,
    )
