"""Replicas of each function for a rate of requests: M/D/c queues stay short while replicas are busy 70% of the time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

from mopar.planning.numbers import up_to
from mopar.types import Function, Plan, PredictedFunction, Reserved, Scale, ScaledFunction, UsageError

BUSY_SHARE = 0.7
"""Largest share of the time in which a replica may be busy."""
_GATEWAY_MIB = 32
"""What a gateway holds, at most, beside the tensors of its requests (docs/decisions/gateway-memory.md)."""
_GATEWAY_CALL_MS = 0.35
"""CPU time that a gateway takes for each call."""


@dataclass(frozen=True, slots=True)
class _Gateway:
    """How many processes run the plan, and the CPUs that they use."""

    count: int
    cpu: float


def scaled(plan: Plan, rate_per_s: float) -> Plan:
    """The plan with as many replicas of each function as a rate of requests needs.

    A replica runs one call at a time and is busy while it is held, waiting for other parts included.

    Args:
        plan: made for single requests.
        rate_per_s: requests per second.

    Raises:
        UsageError: the rate is not above 0.
    """
    if not 0 < rate_per_s < inf:
        raise UsageError(f"--rate {rate_per_s:g}: write requests per second, above 0")
    functions = tuple(
        replace(function, replicas=_replicas(figures, rate_per_s))
        for function, figures in zip(plan.functions, plan.predicted.functions, strict=True)
    )
    gateway = _gateway(plan, rate_per_s)
    reserved = _reserved(functions, plan.predicted.functions, rate_per_s, gateway)
    (whole,) = plan.unsplit.functions
    alone = Function(whole.name, (), plan.unsplit.memory_mib, plan.unsplit.cpu, replicas=_replicas(whole, rate_per_s))
    unsplit = _reserved((alone,), (whole,), rate_per_s, _Gateway(0, 0.0))
    return replace(plan, functions=functions, scale=Scale(rate_per_s, BUSY_SHARE, reserved, unsplit))


def _replicas(figures: PredictedFunction, rate_per_s: float) -> int:
    return max(1, ceil(_busy(figures, rate_per_s) / up_to(BUSY_SHARE)))


def _busy(figures: PredictedFunction, rate_per_s: float) -> float:
    """How many replicas would be busy all the time."""
    return rate_per_s * (figures.latency_ms + figures.waiting_ms) / 1e3


def _gateway(plan: Plan, rate_per_s: float) -> _Gateway:
    if len(plan.functions) == 1:
        return _Gateway(0, 0.0)
    cpu = rate_per_s * len(plan.calls) * _GATEWAY_CALL_MS / 1e3
    return _Gateway(max(1, ceil(cpu / up_to(BUSY_SHARE))), cpu)


def _reserved(
    functions: Sequence[Function], figures: Sequence[PredictedFunction], rate_per_s: float, gateway: _Gateway
) -> Reserved:
    replicas = tuple(
        ScaledFunction(function.name, function.replicas, _busy(known, rate_per_s) / function.replicas)
        for function, known in zip(functions, figures, strict=True)
    )
    return Reserved(
        replicas,
        sum(function.replicas * function.memory_mib for function in functions) + gateway.count * _GATEWAY_MIB,
        sum(function.replicas * function.cpu for function in functions) + gateway.cpu,
        gateway.count,
    )
