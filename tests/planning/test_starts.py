"""Starts of functions: what a start takes, plans whose functions start in time, and what a reason says of them."""

from dataclasses import replace
from math import isfinite

import pytest

from mopar.planning import plan, plan_unsplit
from mopar.planning.model.quota import quota_ms, start_ms
from mopar.types import InfeasibleError, PlatformLimits, Profile
from tests.profiles import COUPLED, FREE, MIB, PAPER, chain, in_halves

STARTS = replace(FREE, start_ms=80.0, start_wait_ms=20.0, start_read_share=0.5)
"""Handmade profiles load their model in 180 ms; reading takes half of that."""


def heavy(operator: str = "Gemm") -> Profile:
    """Four layers with 100 MiB of weights each, each loaded in 45 ms and read in 22.5."""
    plain = chain(4, weight=100 * MIB)
    return replace(plain, layers=tuple(replace(layer, operators=(operator,)) for layer in plain.layers))


def starts_ms(profile: Profile, limits: PlatformLimits) -> list[float]:
    """Of the fastest plan, which has as few functions as the limit on starts allows."""
    return [function.init_ms for function in plan(profile, PAPER, limits, objective="latency").predicted.functions]


def test_a_function_reads_on_while_it_waits_for_its_quota() -> None:
    one, more, slightly_less, little = (start_ms(STARTS, 100.0, 300.0, cpu, 20.0) for cpu in (1.0, 6.0, 0.9, 0.25))
    assert one == more == slightly_less == 20.0 + 400.0 + 150.0
    assert little == 20.0 + quota_ms(400.0, 0.25, 20.0) > 1500.0


def test_cuts_let_functions_start_in_time() -> None:
    assert starts_ms(heavy(), replace(STARTS, max_start_ms=371.0)) == [pytest.approx(370.0)]
    assert starts_ms(heavy(), replace(STARTS, max_start_ms=236.0)) == [pytest.approx(235.0)] * 2
    with pytest.raises(InfeasibleError) as caught:
        plan(heavy(), PAPER, replace(STARTS, max_start_ms=150.0))
    assert caught.value.limit == "max_start_ms"
    assert caught.value.nearest == pytest.approx(167.5)
    with pytest.raises(InfeasibleError, match="max_start_ms: a start of at least 370 ms is needed"):
        plan_unsplit(heavy(), PAPER, replace(STARTS, max_start_ms=360.0))


def test_the_nearest_start_is_told_where_another_limit_is_missed_too() -> None:
    both = replace(STARTS, max_start_ms=360.0, package_bytes=300 * MIB)
    with pytest.raises(InfeasibleError) as caught:
        plan_unsplit(heavy(), PAPER, both)
    assert caught.value.nearest is not None
    assert isfinite(caught.value.nearest)


def test_parts_let_functions_start_in_time() -> None:
    """The weights are the first layer's, which two parts can compute."""
    profile = in_halves(2)
    first, second = profile.weights
    profile = replace(profile, weights=(first, replace(second, bytes=0, resident_bytes=0, file_bytes=0)))
    found = plan(profile, PAPER, replace(STARTS, max_start_ms=240.0), slo_ms=None)
    starts = [function.init_ms for function in found.predicted.functions]
    assert starts == [pytest.approx(235.0), pytest.approx(235.0), 100.0]
    with pytest.raises(InfeasibleError, match="max_start_ms: a start of at least 235 ms"):
        plan(profile, PAPER, replace(STARTS, max_start_ms=190.0))


def test_memory_that_buys_cpu_lets_a_function_start_in_time() -> None:
    """The cheapest size of a short call has little CPU, and the smallest that starts in time has more."""
    profile = chain(1, latency_ms=1.0, weight=8 * MIB)
    book = replace(COUPLED, mib_per_vcpu=1000.0, memory_max_mib=4096)
    (slow,) = plan(profile, book, STARTS, slo_ms=None).functions
    (soon,) = plan(profile, book, replace(STARTS, max_start_ms=371.0), slo_ms=None).functions
    assert slow.cpu == pytest.approx(0.45, abs=0.05)
    assert soon.cpu == pytest.approx(0.7, abs=0.1)
    with pytest.raises(InfeasibleError, match="max_start_ms: a start of at least 370 ms is needed"):
        plan(profile, book, replace(STARTS, max_start_ms=360.0))


@pytest.mark.parametrize(("operator", "whole_ms"), [("Gemm", None), ("Gather", 100.0)])
def test_weights_that_portable_graphs_map_take_no_part_in_a_start(operator: str, whole_ms: float | None) -> None:
    (start,) = starts_ms(heavy(operator), replace(STARTS, portable_graphs=True))
    # Packing takes 0.9 ms/MiB.
    assert start == pytest.approx(100.0 + 1.5 * 400 * 0.9 if whole_ms is None else whole_ms)


def test_the_reason_tells_of_starts_where_the_platform_states_them() -> None:
    assert "starts in" not in plan(heavy(), PAPER, FREE).reason
    limits = replace(STARTS, start_ms=80.2)
    whole = plan(heavy(), PAPER, limits, slo_ms=None, max_functions=1)
    assert whole.reason.endswith("; starts in 370 ms")
    limited = plan(heavy(), PAPER, replace(limits, max_start_ms=236.0), objective="latency")
    told = "starts in 235 ms, unsplit in 370; with max_start_ms, functions that start side by side take 168 or more"
    assert told in limited.reason
