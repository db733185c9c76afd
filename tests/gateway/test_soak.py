"""Thousands of concurrent requests of mixed sizes: every valid one is answered, correctly."""

import pytest

from benchmarks.soak import KINDS, RANGES, TOO_SMALL_FOR_PARTS, Scenario, holds, row, soak


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize(
    ("model", "kind"),
    [(model, kind) for model in RANGES for kind in KINDS if kind != "parts" or model not in TOO_SMALL_FOR_PARTS],
)
def test_mixed_sizes_at_once(model: str, kind: str) -> None:
    scenario = Scenario(model, kind, requests=10_000 if model != "minilm" else 3_000, concurrency=16)
    tally = soak(scenario)
    assert holds(scenario, tally), (row(scenario, tally), tally.errors)


@pytest.mark.models
@pytest.mark.parametrize("kind", KINDS)
def test_a_few_mixed_sizes_at_once(kind: str) -> None:
    """The same in a few seconds."""
    scenario = Scenario("silero-vad" if kind == "parts" else "symbolic", kind, requests=600, concurrency=16)
    tally = soak(scenario)
    assert holds(scenario, tally) or (scenario.kills and not tally.kills), (row(scenario, tally), tally.errors)
