"""What the reason of a plan says of bursts and of one function with as many CPUs."""

from dataclasses import replace

import pytest

from mopar.planning import plan, plan_cuts
from mopar.types import CpuSize, Profile, UsageError
from tests.profiles import COUPLED, FREE, PAPER, STRICT, chain, in_halves

SOLD = replace(PAPER, cpu_sizes=(CpuSize(0.25), CpuSize(1.0), CpuSize(2.0)))


def with_threads(profile: Profile, share: float) -> Profile:
    """Two threads take this share of the time of one."""
    return replace(profile, layers=tuple(replace(layer, two_threads=share) for layer in profile.layers))


def test_a_burst_that_nobody_pays_for_is_named() -> None:
    """4 ms are done within a quarter of a period of 20 ms; CPU is free in the one book, memory buys it in the other."""
    profile = chain(2, latency_ms=4.0)
    for book in (replace(SOLD, cpu_sizes=(CpuSize(0.25),)), replace(COUPLED, mib_per_vcpu=2000.0)):
        found = plan_cuts(profile, replace(book, quota_period_ms=20.0), FREE, [1], slo_ms=None)
        assert found.functions[0].cpu < 1
        assert (
            "2 functions with less than a CPU finish at full speed within the quota of one 20 ms period" in found.reason
        )
    paid = plan_cuts(profile, replace(SOLD, vcpu_s_usd=1e-5), FREE, [1], slo_ms=None)
    assert "at full speed" not in paid.reason
    slow = plan_cuts(profile, replace(SOLD, cpu_sizes=(CpuSize(0.25),), quota_period_ms=10.0), FREE, [1], slo_ms=None)
    assert "at full speed" not in slow.reason


def test_parts_that_one_function_beats_are_not_advised_in_silence() -> None:
    """Two threads take 0.3x the time of one; halves take half, and the book sells no function of two CPUs."""
    fast = with_threads(in_halves(4), 0.3)
    found = plan(fast, PAPER, FREE, objective="latency")
    assert any(graph.part for graph in found.graphs)
    assert "one function of 2 CPUs is expected to take 0." in found.reason
    slow = plan(with_threads(in_halves(4), 0.95), PAPER, FREE, objective="latency")
    assert "one function of 2 CPUs" not in slow.reason


def test_most_cpus_of_a_function() -> None:
    """Where two CPUs are not allowed, parts are what is left."""
    profile = with_threads(in_halves(4), 0.55)
    free = plan(profile, SOLD, FREE, objective="latency", policy=STRICT)
    assert [(function.cpu, function.threads) for function in free.functions] == [(2.0, 2)]
    capped = plan(profile, SOLD, FREE, objective="latency", max_cpu=1.0)
    assert {function.cpu for function in capped.functions} <= {0.25, 1.0}
    assert any(graph.part for graph in capped.graphs)
    coupled = replace(COUPLED, memory_max_mib=4096, mib_per_vcpu=600.0)
    assert max(function.cpu for function in plan(profile, coupled, FREE, objective="latency").functions) > 1.5
    capped = plan(profile, coupled, FREE, objective="latency", max_cpu=1.0)
    assert max(function.cpu for function in capped.functions) < 1.2
    with pytest.raises(UsageError, match=r"max_cpu 0.1: with prices test a function has at least 0.25 CPUs"):
        plan(profile, SOLD, FREE, max_cpu=0.1)
    with pytest.raises(UsageError, match="more than 0"):
        plan(profile, COUPLED, FREE, max_cpu=0.0)
