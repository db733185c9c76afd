"""What a client reads of ``Server-Timing``."""

from mopar.gateway.client import _timings


def test_calls_of_a_function_add_up_and_what_its_platform_bills_is_kept() -> None:
    header = 'f0;dur=1.5, f0-engine;dur=1.25, f0;dur=2, f0-billed;dur=4, f1;dur=3, cost;desc="0.000000345 USD"'
    assert _timings(header) == {
        "f0": {"held": 3.5, "engine": 1.25, "waiting": 0.0, "billed": 4.0},
        "f1": {"held": 3.0, "engine": 0.0, "waiting": 0.0},
    }
