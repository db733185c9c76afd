"""The planner compared with SLAMBUC, a partitioner of serverless chains, where both can express the question."""

import random

import pytest

from mopar.planning import plan
from mopar.types import InfeasibleError
from tests.planning.slambuc_oracle import USD_PER_MS, random_chain


@pytest.mark.parametrize("seed", range(60))
def test_the_optimum_is_slambucs(seed: int) -> None:
    chain = random_chain(random.Random(seed))
    profile, book, limits, slo_ms = chain.question()
    optimum_ms = chain.optimum_ms()
    if optimum_ms is None:
        with pytest.raises(InfeasibleError):
            plan(profile, book, limits, slo_ms=slo_ms)
        return
    found = plan(profile, book, limits, slo_ms=slo_ms)
    assert found.predicted.cost_per_million_usd == pytest.approx(optimum_ms * USD_PER_MS * 1e6, rel=1e-9)
