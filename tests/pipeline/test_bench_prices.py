"""Costs of measured functions, from round numbers that can be verified on paper.

A GiB buys a CPU, of which the kernel grants a quota every 20 ms, and costs 1 USD a second: a million requests of 20 ms
in 1 GiB cost 20,000 USD.
"""

from dataclasses import replace

import pytest

from mopar.pipeline.bench.prices import MeasuredFunction, cheapest_coupled, cost_as_run
from mopar.planning.model.quota import quota_ms
from tests.profiles import PAPER

APART = replace(PAPER, gib_s_usd=1.0)
COUPLED = replace(APART, mib_per_vcpu=1024.0, memory_min_mib=256, memory_step_mib=256, memory_max_mib=4096)
RUN = MeasuredFunction(required_mib=200.0, billed_ms=20.0, calls=1, cpu=1.0, threads=1)


def test_the_cheapest_size_is_taken_with_the_duration_that_it_leads_to() -> None:
    """At half a CPU, 20 ms of work are two quotas of 10 ms.

    Half of all calls find a quota that they can use up before the period ends, 15 ms away on average, and need 10 ms of
    the next: 25 ms. The others use a part of one, all of the next, and of the third what the first part lacked: 30 ms.
    On average 27.5 ms of half a GiB: 13,750 USD; as computed in the same way, a quarter of a GiB takes 59.375 ms
    (14,844 USD), three quarters take 21.875 ms (16,406), a whole one 20 (20,000).
    """
    found = cheapest_coupled(COUPLED, [RUN])
    assert found is not None
    assert found.memory_mib == (512,)
    assert found.billed_ms == pytest.approx((27.5,))
    assert found.usd_per_million == pytest.approx(13_750)
    larger = cheapest_coupled(COUPLED, [replace(RUN, required_mib=600.0)])
    assert larger is not None
    assert larger.memory_mib == (768,)
    assert larger.billed_ms == pytest.approx((21.875,))


def test_what_fits_into_one_quota_takes_no_longer() -> None:
    """5 ms at a quarter of a CPU: 0.25 GiB x 5 ms, in each of two functions."""
    found = cheapest_coupled(COUPLED, [replace(RUN, billed_ms=5.0)] * 2)
    assert found is not None
    assert (found.memory_mib, found.billed_ms) == ((256, 256), (5.0, 5.0))
    assert found.usd_per_million == pytest.approx(2_500)


def test_threads_share_what_is_bought() -> None:
    """Two threads on one CPU have half of one each, as in the first case: 27.5 ms of a GiB."""
    found = cheapest_coupled(COUPLED, [replace(RUN, cpu=2.0, threads=2)])
    assert found is not None
    assert found.memory_mib == (1024,)
    assert found.usd_per_million == pytest.approx(27_500)


@pytest.mark.parametrize("work_ms", [3.0, 13.0, 47.0])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_what_was_measured_under_a_quota_has_the_work_of_what_was_not(work_ms: float, share: float) -> None:
    free = cheapest_coupled(COUPLED, [replace(RUN, billed_ms=work_ms)])
    throttled = cheapest_coupled(COUPLED, [replace(RUN, billed_ms=quota_ms(work_ms, share), cpu=share)])
    assert free is not None
    assert throttled is not None
    assert throttled.memory_mib == free.memory_mib
    assert throttled.usd_per_million == pytest.approx(free.usd_per_million)


def test_cost_and_latency_of_a_run_belong_together() -> None:
    """Where memory buys CPU, 200 MiB with half a CPU are sold as 512, and with a whole one as 1024."""
    assert cost_as_run(COUPLED, [replace(RUN, billed_ms=27.5, cpu=0.5)]) == pytest.approx(13_750)
    assert cost_as_run(COUPLED, [RUN]) == pytest.approx(20_000)
    assert cost_as_run(APART, [RUN]) == pytest.approx(200 / 1024 * 20_000)


def test_every_call_is_rounded_and_pays_its_fee() -> None:
    """Two steps of 5 ms are billed 8 ms each, of 0.25 GiB: 4,000 USD, and two fees of 1,000."""
    book = replace(COUPLED, billing_unit_ms=8.0, request_usd=1e-3)
    steps = replace(RUN, billed_ms=10.0, calls=2, cpu=0.25)
    found = cheapest_coupled(book, [steps])
    assert found is not None
    assert found.billed_ms == pytest.approx((10.0,))
    assert found.usd_per_million == pytest.approx(6_000)
    assert cost_as_run(book, [steps]) == pytest.approx(6_000)


def test_a_function_too_large_for_the_book_has_no_price_there() -> None:
    assert cheapest_coupled(COUPLED, [RUN, replace(RUN, required_mib=5000.0)]) is None
