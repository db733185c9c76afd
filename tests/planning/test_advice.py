"""The planner's advice on limits is true: the value that it names is feasible, and no better one is."""

from dataclasses import replace

import pytest

from mopar.planning import plan
from mopar.types import GraphPart, InfeasibleError, LayerProfile, PartProfile, Profile, ShardStep, Share, WeightProfile
from tests.profiles import FREE, MIB, PAPER, STRICT, chain, make_profile, tensor

APART = replace(FREE, package_bytes=121 * MIB)
"""At most three layers of ``two_towers`` in a function: its towers run in parallel."""


def two_towers() -> Profile:
    """Towers of layers 0 to 2 and 3 to 5, which are joined in layer 6."""
    sizes = (8, 8, 8, 1, 1, 1, 1)
    tensors = [tensor("x", MIB, -1, (0,)), tensor("z", MIB, -1, (3,))]
    readers = [(1,), (2,), (6,), (4,), (5,), (6,), (7,)]
    tensors += [tensor(f"t{index}", size * MIB, index, readers[index]) for index, size in enumerate(sizes)]
    weights = tuple(WeightProfile(f"w{index}", 40 * MIB, 40 * MIB, 40 * MIB) for index in range(7))
    layers = []
    for index in range(7):
        live = sum(one.bytes for one in tensors if one.producer <= index <= max(one.consumers))
        layers.append(LayerProfile(index, (f"n{index}",), ("Gemm",), (f"w{index}",), 10.0, 0.0, 40 * MIB, live))
    return make_profile(tuple(layers), tuple(tensors), weights, tuple(range(1, 7)))


def test_an_slo_that_only_slices_side_by_side_keep_is_kept() -> None:
    """The search adds up slices; the fastest plan's latency follows from its calls."""
    fastest = plan(two_towers(), PAPER, APART, objective="latency").predicted.latency_ms
    found = plan(two_towers(), PAPER, APART, slo_ms=fastest)
    assert found.predicted.latency_ms == pytest.approx(fastest)
    assert "only slices that run at once keep the slo" in found.reason
    with pytest.raises(InfeasibleError) as caught:
        plan(two_towers(), PAPER, APART, slo_ms=0.99 * fastest)
    assert caught.value.nearest == pytest.approx(fastest)


def in_parts(profile: Profile, time_share: float) -> Profile:
    """Two functions may compute all of it in parallel, each in a share of the time."""
    ends = ("t2", "t5")
    parts = tuple(
        PartProfile(GraphPart(index, 2, (Share("x"), Share("z")), (Share(end),)), time_share, 0, 0, 0)
        for index, end in enumerate(ends)
    )
    return replace(profile, shards=(ShardStep(0, len(profile.layers) - 1, "branches", parts),))


def test_a_budget_names_the_cheapest_plan_also_where_that_is_in_parts() -> None:
    profile = in_parts(two_towers(), 0.2)
    cheapest = plan(profile, PAPER, FREE, slo_ms=None).predicted.cost_per_million_usd
    assert cheapest < plan(profile, PAPER, FREE, slo_ms=None, max_parts=1).predicted.cost_per_million_usd
    with pytest.raises(InfeasibleError) as caught:
        plan(profile, PAPER, FREE, objective="latency", budget_usd=0.5 * cheapest)
    assert caught.value.nearest == pytest.approx(cheapest, rel=1e-6)


def test_nobody_fails_for_an_slo_that_was_never_set() -> None:
    """Where limits forbid the unsplit model, the default does not follow from its latency."""
    far = replace(FREE, package_bytes=16 * MIB, shares_host=False, hop_ms=5.0, hop_ms_per_mib=0.0)
    found = plan(chain(4), PAPER, far)
    fastest = plan(chain(4), PAPER, far, objective="latency", policy=STRICT).predicted.latency_ms
    assert found.slo_ms == pytest.approx(1.03 * fastest, rel=1e-3)
    assert f"slo from the fastest possible plan, of {fastest:.3f} ms" in found.reason
    assert "not possible (package_bytes" in found.reason
