"""Functions of one host that are called over HTTP pay the stated call, and find caches cold as on any shared host."""

from dataclasses import replace

import pytest

from mopar.planning.model.calls import call_costs, step_costs
from mopar.platforms.books import load_limits
from mopar.types import RuntimeCosts
from tests.profiles import FREE

RUNTIME = RuntimeCosts(15.0, 0.1, 0.05, 0.04, 90.0, cold_call_ms=0.1, cold_ms=0.7, wake_ms=0.3, exchange_ms=1.0)


def test_calls_over_http_on_the_profiles_host() -> None:
    limits = replace(FREE, shares_host=True, hop_ms=2.0, hop_ms_per_mib=3.0, hop_billed_share=0.25)
    here, far = call_costs(RUNTIME, limits), call_costs(RUNTIME, replace(limits, shares_host=False))
    assert (here.inside_ms, here.outside_ms, here.consumer) == (far.inside_ms, far.outside_ms, far.consumer)
    assert (here.cold_ms, here.wake_ms) == (RUNTIME.cold_ms, RUNTIME.wake_ms)
    assert (far.cold_ms, far.wake_ms) == (0, 0)
    assert step_costs(RUNTIME, limits) == here  # no flags to wait by


@pytest.mark.parametrize(
    ("name", "shares_memory"), [("container", True), ("container-http", False), ("openfaas", False)]
)
def test_books_say_which_functions_share_memory(name: str, shares_memory: bool) -> None:
    assert load_limits(name).shares_memory == shares_memory
